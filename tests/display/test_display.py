"""What displays draw, against plain NumPy."""

import sys

import matplotlib

matplotlib.use("Agg")  # before pyplot: there may be no screen

import numpy as np
import pandas as pd
import pytest
from helpers import plain_features, plain_match
from matplotlib import colors
from matplotlib import pyplot as plt
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, SGDOneClassSVM
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)
from otk_sklearn.display import (
    ConvergenceDisplay,
    ImportanceDisplay,
    SupportsDisplay,
    TransportPlanDisplay,
)
from otk_sklearn.inspection import nearest_elements

LABELS = np.array(["a", "b", "c"] * 4)
LETTERS = "ACDEFGHIKLMNPQRSTVWYACDEFGHIKL"


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def embedding(n_supports=4, **parameters):
    """One whose plans take a fixed number of plain iterations."""
    defaults = {"n_components": 6, "tol": 0, "max_iter": 15, "random_state": 0}
    return OTKEmbedding(n_supports, **{**defaults, **parameters})


def classifier(sets, labels=LABELS, **parameters):
    return make_pipeline(embedding(**parameters), LogisticRegression()).fit(sets, labels)


def plain_contributions(model, elements, labels):
    """`n_supports sum_j P_ij <coef_j, psi(x_i)>` for each output, one value at a time."""
    psi, plans = plain_match(model[0], elements)
    coef = model[-1].coef_.reshape(-1, *model[0].references_.shape)
    n_supports = plans.shape[2]
    return np.array(
        [
            [
                sum(
                    n_supports * plans[r, i, j] * (output[r, j] @ psi[i])
                    for r in range(len(plans))
                    for j in range(n_supports)
                )
                for output in coef
            ]
            for i in range(len(psi))
        ]
    )


def tick_names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def places(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_ticklocs() if low <= tick <= high]


# ---- The transport plan


@pytest.mark.parametrize("reference", [0, 1])
def test_heat_map_shows_the_plan_and_letters(sets, reference):
    model = embedding(n_references=2).fit(sets)
    letters = LETTERS[: len(sets[3])]
    display = TransportPlanDisplay.from_estimator(
        model, sets, index=3, element_names=letters, reference=reference
    )
    _, plans = plain_match(model, sets[3])
    np.testing.assert_allclose(display.im_.get_array(), plans[reference].T, atol=1e-12)
    assert tick_names(display.ax_.xaxis) == list(letters)
    assert places(display.ax_.yaxis) == [0, 1, 2, 3]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("element", "support")
    assert display.key_.ax.get_ylabel() == "mass"
    assert display.figure_ is display.ax_.figure
    assert display.points_ is None


def test_ticks_of_many_elements_are_numbers_with_gaps():
    X = [np.random.default_rng(0).normal(size=(100, 3))]
    model = embedding().fit(X)
    display = TransportPlanDisplay.from_estimator(model, X)
    assert places(display.ax_.xaxis) == list(range(0, 100, 10))
    names = [f"step {i}" for i in range(100)]
    display = TransportPlanDisplay.from_estimator(model, X, element_names=names)
    assert tick_names(display.ax_.xaxis) == names[::3]
    assert display.ax_.get_xticks().tolist() == list(range(0, 100, 3))
    display = TransportPlanDisplay.from_estimator(model, X, element_names="AC" * 50)
    assert tick_names(display.ax_.xaxis) == list("AC" * 50)


@pytest.mark.parametrize(("length", "step"), [(200, 1), (201, 20), (1203, 100)])
def test_letters_without_room_for_all_are_numbered(length, step):
    """Every second letter alone would read as a sequence."""
    letters = "ACDEFGHIKLM" * 120
    display = ImportanceDisplay(np.ones(length), element_names=letters[:length]).plot()
    places = display.ax_.get_xticks()
    names = tick_names(display.ax_.xaxis)
    if step == 1:
        assert names == list(letters[:length])
    else:
        assert (places + 1).tolist() == list(range(step, length + 1, step))
        assert names == [f"{letters[i]}{i + 1}" for i in places]
    plt.close(display.figure_)


@pytest.mark.parametrize("n_supports", [4, 30])
def test_points_have_the_colour_of_their_support_paler_where_it_takes_less(
    sets, n_supports
):
    weights = [np.arange(1.0, len(elements) + 1) for elements in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = embedding(n_supports, epsilon=0.2).fit(X)
    display = TransportPlanDisplay.from_estimator(model, X, index=5, columns=(2, 1))
    masses = weights[5] / weights[5].sum()
    _, (plan,) = plain_match(model, sets[5], masses)
    np.testing.assert_array_equal(display.points_.get_offsets(), sets[5][:, [2, 1]])
    edges = display.points_.get_edgecolors()[:, :3]
    faces = display.points_.get_facecolors()[:, :3]
    part = (plan.max(axis=1) / plan.sum(axis=1))[:, np.newaxis]
    np.testing.assert_allclose(faces, part * edges + (1 - part), atol=1e-9)
    # One colour each: equal where the support is, and only there.
    support = plan.argmax(axis=1)
    same_support = support[:, np.newaxis] == support
    same_color = np.abs(edges[:, np.newaxis] - edges).max(axis=2) < 1e-9
    np.testing.assert_array_equal(same_color, same_support)
    area = display.points_.get_sizes()
    np.testing.assert_allclose(area / area.sum(), plan.sum(axis=1), rtol=1e-9)
    assert display.ax_.get_xlabel() == "feature 2"
    assert display.ax_.get_ylabel() == "feature 1"


def test_key_names_the_supports_in_their_colours(sets):
    model = embedding(4).fit(sets)
    display = TransportPlanDisplay.from_estimator(model, sets, index=5, columns=(0, 1))
    _, (plan,) = plain_match(model, sets[5])
    handles = display.key_.legend_handles
    assert [text.get_text() for text in display.key_.get_texts()] == ["0", "1", "2", "3"]
    shown = np.array([colors.to_rgba(h.get_color()) for h in handles])
    edges = display.points_.get_edgecolors()
    np.testing.assert_allclose(edges, shown[plan.argmax(axis=1)])


def test_colours_of_many_supports_follow_their_similarity():
    """Supports on an arc: along it, one step on the scale of colours after the other."""
    angles = np.random.default_rng(0).permutation(np.linspace(0, 2, 15))
    references = np.column_stack([np.cos(angles), np.sin(angles)])[np.newaxis]
    model = embedding(kernel="linear", references=references).fit([references[0]])
    display = TransportPlanDisplay.from_estimator(model, [references[0]])
    steps = display.support_order[angles.argsort()]
    assert steps.tolist() in (list(range(15)), list(range(15))[::-1])
    ticks = dict(zip(display.key_.get_ticks(), tick_names(display.key_.ax.yaxis)))
    assert all(display.support_order[int(name)] == tick for tick, name in ticks.items())
    assert len(ticks) == 8


def test_images_are_drawn_as_grids():
    images = np.random.default_rng(0).normal(size=(6, 3, 5, 2))
    model = embedding().fit(images)
    display = TransportPlanDisplay.from_estimator(model, images, index=2)
    _, (plan,) = plain_match(model, images[2].reshape(15, 2))
    drawn = display.im_.get_array().reshape(15, 3)
    shown = np.array(
        [colors.to_rgb(handle.get_color()) for handle in display.key_.legend_handles]
    )
    part = (plan.max(axis=1) / plan.sum(axis=1))[:, np.newaxis]
    expected = part * shown[plan.argmax(axis=1)] + (1 - part)
    np.testing.assert_allclose(drawn, expected, atol=1e-9)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("column", "row")


def test_a_grid_with_gaps_is_drawn_where_it_is_asked_for():
    random = np.random.default_rng(0)
    positions = np.array([[2, 1], [1, 1], [1, 3]]) / 3
    X = SetCollection(random.normal(size=(3, 4)), [0, 3], positions=positions)
    model = classifier(
        SetCollection(
            random.normal(size=(12, 4)), np.arange(13), positions=np.full((12, 2), 0.5)
        )
    )
    display = ImportanceDisplay.from_estimator(model, X, kind="grid", target="b")
    values = display.contributions
    expected = [[values[1], values[2]], [values[0], np.nan]]
    np.testing.assert_array_equal(display.im_.get_array().filled(np.nan), expected)
    assert ImportanceDisplay.from_estimator(model, X).kind == "bars"


def test_elements_are_drawn_as_handed_over_whatever_model_they_go_to(sets):
    """Through a search, Pipelines and a classifier; scaled features never show."""
    scaler = ElementTransformer(PCA(2))
    of_sets = OTKEmbedding(3, n_components=5)
    model = OTKClassifier(of_sets, alpha=1.0, max_epochs=2, random_state=0)
    nested = make_pipeline(make_pipeline(scaler), model)
    search = GridSearchCV(nested, {"otkclassifier__embedding__epsilon": [0.1]}, cv=2)
    search.fit(sets, LABELS)
    best = search.best_estimator_
    display = TransportPlanDisplay.from_estimator(search, [sets[4]], columns=(3, 0))
    np.testing.assert_array_equal(display.points_.get_offsets(), sets[4][:, [3, 0]])
    expected = best[-1].embedding_.transport_plan(best[0].transform([sets[4]]))[0][0]
    np.testing.assert_allclose(display.plan, expected, rtol=1e-12)


def test_windows_are_drawn_on_their_rows(sets):
    model = embedding(filter_size=3, padding="same").fit(sets)
    letters = LETTERS[: len(sets[3])]
    display = TransportPlanDisplay.from_estimator(model, [sets[3]], element_names=letters)
    assert display.im_.get_array().shape == (4, len(sets[3]))
    assert tick_names(display.ax_.xaxis) == list(letters)


def test_columns_go_by_name_where_a_table_has_names(sets):
    tables = [pd.DataFrame(elements, columns=["x", "y", "z", "w"]) for elements in sets]
    model = make_pipeline(ElementTransformer(StandardScaler()), embedding()).fit(tables)
    display = TransportPlanDisplay.from_estimator(
        model, tables, index=7, columns=("w", "y")
    )
    np.testing.assert_array_equal(display.points_.get_offsets(), sets[7][:, [3, 1]])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("w", "y")
    display = SupportsDisplay.from_estimator(model, tables)
    assert tick_names(display.ax_.xaxis) == ["x", "y", "z", "w"]


# ---- Importance


def test_tables_with_names_are_drawn_without_a_warning(sets):
    tables = [pd.DataFrame(elements, columns=list("wxyz")) for elements in sets]
    display = TransportPlanDisplay.from_estimator(classifier(tables), tables, index=2)
    expected = classifier(sets)[0].transport_plan(sets)[2][0]
    np.testing.assert_allclose(display.plan, expected, rtol=0, atol=1e-12)


def test_names_are_no_formulas(sets):
    model, words = classifier(sets), [["$x_$"] * len(elements) for elements in sets]
    display = ImportanceDisplay.from_estimator(model, sets, index=2, element_names=words[2])
    assert display.ax_.get_xticklabels()[0].get_text() == "$x_$"
    display.figure_.canvas.draw()
    display = SupportsDisplay.from_estimator(model, sets, element_names=words)
    display.figure_.canvas.draw()


def test_bars_are_contributions_to_the_predicted_class(sets):
    model = classifier(sets)
    letters = LETTERS[: len(sets[5])]
    display = ImportanceDisplay.from_estimator(model, [sets[5]], element_names=letters)
    predicted = model.predict([sets[5]])[0]
    output = list(model.classes_).index(predicted)
    expected = plain_contributions(model, sets[5], LABELS)[:, output]
    heights = np.array([bar.get_height() for bar in display.bars_])
    np.testing.assert_allclose(heights, expected, atol=1e-9)
    assert tick_names(display.ax_.xaxis) == list(letters)
    assert display.ax_.get_ylabel() == f"contribution to class {predicted}"
    total = model.decision_function([sets[5]])[0, output]
    assert display.ax_.get_title().startswith(f"decision {total:+.3g}: elements")
    np.testing.assert_allclose(display.constant, model[-1].intercept_[output])
    colours = {bar.get_facecolor() for bar, c in zip(display.bars_, expected) if c > 0}
    others = {bar.get_facecolor() for bar, c in zip(display.bars_, expected) if c < 0}
    assert len(colours) <= 1
    assert not colours & others


def test_target_chooses_the_class_and_two_classes_are_opposites(sets):
    model = classifier(sets)
    expected = plain_contributions(model, sets[5], LABELS)
    for output, label in enumerate("abc"):
        display = ImportanceDisplay.from_estimator(model, sets, index=5, target=label)
        np.testing.assert_allclose(display.contributions, expected[:, output], atol=1e-9)
    model = classifier(sets, LABELS == "b")
    expected = plain_contributions(model, sets[5], LABELS)[:, 0]
    for target, sign in [(None, 1), (True, 1), (False, -1)]:
        display = ImportanceDisplay.from_estimator(model, sets, index=5, target=target)
        np.testing.assert_allclose(display.contributions, sign * expected, atol=1e-9)
        total = sign * model.decision_function([sets[5]])[0]
        assert f"decision {total:+.3g}:" in display.ax_.get_title()
        assert display.target_name == f"class {target in (None, True)}"


@pytest.mark.parametrize("target", [None, 1])
def test_outputs_of_a_regressor_are_chosen_by_number(sets, target):
    Y = np.column_stack([np.arange(12.0), np.arange(12.0) ** 2])
    model = make_pipeline(embedding(), Ridge()).fit(sets, Y)
    expected = plain_contributions(model, sets[5], Y)[:, target or 0]
    display = ImportanceDisplay.from_estimator(model, sets, index=5, target=target)
    np.testing.assert_allclose(display.contributions, expected, atol=1e-9)
    assert display.ax_.get_ylabel().endswith(f"the prediction of output {target or 0}")
    model.fit(sets, Y[:, 0])
    display = ImportanceDisplay.from_estimator(model, sets, index=5)
    assert display.ax_.get_ylabel() == "contribution to the prediction"
    with pytest.raises(ValueError, match="target is 2; expected 0 to 0"):
        ImportanceDisplay.from_estimator(model, sets, index=5, target=2)


@pytest.mark.parametrize("form", [list, np.concatenate])
def test_bars_of_labels_are_sums_over_their_elements(sets, form):
    """Also of those that the set has no element of."""
    model, n = classifier(sets), len(sets[5])
    by = [np.resize(["T", "NK", "B"], len(x)) for x in sets]
    by[5] = np.resize(["NK", "T"], n)
    display = ImportanceDisplay.from_estimator(
        model, sets, index=5, target="b", by=form(by)
    )
    of_elements = plain_contributions(model, sets[5], LABELS)[:, 1]
    expected = [0, of_elements[::2].sum(), of_elements[1::2].sum()]
    np.testing.assert_allclose(display.contributions, expected, atol=1e-9)
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, expected, atol=1e-9)
    assert display.element_names == ["B", "NK", "T"]
    assert display.counts.tolist() == [0, -(-n // 2), n // 2]
    names = ["B (0)", f"NK ({-(-n // 2)})", f"T ({n // 2})"]
    assert tick_names(display.ax_.xaxis) == names
    assert display.ax_.get_xlabel() == "label (number of elements)"
    plain = ImportanceDisplay.from_estimator(model, sets, index=5, target="b")
    assert display.ax_.get_title() == plain.ax_.get_title()
    assert tick_names(display.plot().ax_.xaxis) == names


def test_one_set_has_labels_of_its_own(sets):
    model, by = classifier(sets), np.resize(["T", "NK"], len(sets[5]))
    display = ImportanceDisplay.from_estimator(model, [sets[5]], by=by)
    assert display.element_names == ["NK", "T"]
    assert display.counts.sum() == len(sets[5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": ["T"] * 4}, "by has 4 labels; expected 139, one for each element of X"),
        ({"element_names": "AC"}, "element_names is given with by, whose labels have a"),
        ({"columns": (0, 1)}, "columns is given with by, whose labels have a bar each"),
        ({"kind": "points"}, "kind is 'points' with by, which draws bars; expected 'bars'"),
    ],
)
def test_what_is_wrong_with_labels(sets, arguments, message):
    arguments = {"by": ["T"] * sum(map(len, sets)), **arguments}
    model = classifier(sets)
    with pytest.raises(ValueError, match=message):
        ImportanceDisplay.from_estimator(model, sets, index=5, **arguments)


def test_points_and_grids_of_contributions_are_coloured_about_0(sets):
    model = classifier(sets)
    expected = plain_contributions(model, sets[5], LABELS)[:, 1]
    display = ImportanceDisplay.from_estimator(
        model, sets, index=5, target="b", columns=(1, 3)
    )
    np.testing.assert_array_equal(display.points_.get_offsets(), sets[5][:, [1, 3]])
    np.testing.assert_allclose(display.points_.get_array(), expected, atol=1e-9)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(display.points_.get_clim(), (-largest, largest))
    assert display.key_.ax.get_ylabel() == "contribution to class b"
    images = np.random.default_rng(0).normal(size=(12, 3, 4, 2))
    model = classifier(images)
    display = ImportanceDisplay.from_estimator(model, images, index=2, target="c")
    expected = plain_contributions(model, images[2].reshape(12, 2), LABELS)[:, 2]
    drawn = display.im_.get_array()
    np.testing.assert_allclose(drawn, expected.reshape(3, 4), atol=1e-9)
    low, high = display.im_.get_clim()
    assert low == -high


# ---- Supports


def plain_nearest(model, sets, n_elements):
    """Rows of (set, element) by their similarity to each support of the first reference."""
    index = np.array([(i, k) for i, s in enumerate(sets) for k in range(len(s))])
    psi = plain_features(
        "rbf", model.gamma_, model.anchors_, model.damping, np.concatenate(sets)
    )
    similarity = model.references_[0] @ psi.T
    order = np.argsort(-similarity, axis=1)[:, :n_elements]
    return index[order], np.take_along_axis(similarity, order, axis=1)


def test_supports_are_named_by_their_nearest_elements(sets):
    model = embedding().fit(sets)
    names = [[f"{i}.{k}" for k in range(len(s))] for i, s in enumerate(sets)]
    display = SupportsDisplay.from_estimator(model, sets, n_elements=3, element_names=names)
    nearest, similarity = plain_nearest(model, sets, 3)
    np.testing.assert_allclose(display.im_.get_array(), similarity, atol=1e-9)
    expected = [[f"{i}.{k}" for i, k in row] for row in nearest]
    assert [[text.get_text() for text in row] for row in display.text_] == expected
    np.testing.assert_array_equal(display.set_index, nearest[..., 0])
    np.testing.assert_array_equal(display.start, nearest[..., 1])
    assert display.text_[2, 1].get_position() == (1, 2)
    assert display.key_.ax.get_ylabel() == "similarity"


def test_supports_of_windows_are_named_by_all_their_letters(sets):
    letters = [LETTERS[: len(elements)] for elements in sets]
    model = embedding(filter_size=3).fit(sets)
    display = SupportsDisplay.from_estimator(model, sets, element_names=letters)
    for place, text in np.ndenumerate(display.texts):
        i, start = display.set_index[place], display.start[place]
        assert text == letters[i][start : start + 3]


def test_features_of_supports_are_deviations_of_the_nearest_elements(sets):
    model = embedding().fit(sets)
    display = SupportsDisplay.from_estimator(model, sets, n_elements=3)
    nearest, _ = plain_nearest(model, sets, 3)
    values = np.concatenate(sets)
    means = np.array([np.mean([sets[i][k] for i, k in row], axis=0) for row in nearest])
    expected = (means - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(display.im_.get_array(), expected, atol=1e-9)
    low, high = display.im_.get_clim()
    assert low == -high
    assert tick_names(display.ax_.xaxis) == [f"feature {i}" for i in range(4)]


@pytest.mark.parametrize("n_supports", [4, 12])
def test_supports_are_points_among_those_of_the_collection(sets, n_supports):
    model = embedding(n_supports).fit(sets)
    display = SupportsDisplay.from_estimator(model, sets, n_elements=3, columns=(3, 1))
    nearest, _ = plain_nearest(model, sets, 3)
    expected = np.array([[sets[i][k][[3, 1]] for i, k in row] for row in nearest])
    offsets = display.points_.get_offsets().reshape(n_supports, 3, 2)
    np.testing.assert_array_equal(offsets, expected)
    faces = display.points_.get_facecolors().reshape(n_supports, 3, 4)
    assert (faces == faces[:, :1]).all()
    assert len(np.unique(faces[:, 0], axis=0)) == n_supports
    for j, text in enumerate(display.text_):
        assert text.get_text() == str(j)
        np.testing.assert_allclose(text.get_position(), expected[j].mean(axis=0))
    np.testing.assert_array_equal(display.background, np.concatenate(sets)[:, [3, 1]])


def test_background_is_thinned_out():
    X = np.random.default_rng(0).normal(size=(10, 500, 2))
    display = SupportsDisplay.from_estimator(embedding().fit(X), X)
    np.testing.assert_array_equal(display.background, X.reshape(-1, 2)[::3])


# ---- Convergence


def test_losses_and_scores_are_drawn_by_epoch(sets):
    model = OTKClassifier(
        OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=4, early_stopping=True,
        optimizer="adam", validation_fraction=0.3, random_state=0,
    )  # fmt: skip
    model.fit(sets, LABELS)
    display = ConvergenceDisplay.from_estimator(model)
    epochs = np.arange(1, len(model.loss_curve_) + 1)
    np.testing.assert_array_equal(
        display.line_.get_xydata(), np.column_stack([epochs, model.loss_curve_])
    )
    np.testing.assert_array_equal(display.score_line_.get_ydata(), model.validation_scores_)
    assert display.score_ax_.get_ylabel() == "validation score"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "loss")
    regressor = OTKRegressor(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2)
    regressor.fit(sets, np.arange(12.0))
    assert ConvergenceDisplay.from_estimator(regressor).score_line_ is None


@pytest.mark.parametrize("scores", [[0.5, 0.7], np.array([0.5, 0.7]), np.empty(0), None])
def test_losses_and_scores_may_be_any_array_like(scores):
    display = ConvergenceDisplay(loss_curve=[2, 1], validation_scores=scores).plot()
    n_scores = 0 if scores is None else len(scores)
    assert (display.score_line_ is not None) == (n_scores > 0)


def test_history_of_references_is_drawn_by_iteration(sets):
    model = make_pipeline(
        ElementTransformer(StandardScaler()), embedding(n_references=2, max_iter=500)
    ).fit(sets)
    display = ConvergenceDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.line_.get_ydata(), model[-1].objective_history_)
    assert display.line_.get_xdata()[0] == 1


def test_iterations_and_errors_of_sets_are_drawn_against_tol(sets):
    scaler = ElementTransformer(StandardScaler()).fit(sets)
    model = OTKEmbedding(4, n_references=2, n_components=6, tol=1e-3, random_state=0)
    model = make_pipeline(scaler, model).fit(sets)
    display = ConvergenceDisplay.from_estimator(model, sets)
    offsets = display.points_.get_offsets()
    plans = model[-1].transport_plan(scaler.transform(sets))
    errors = [np.abs(p.sum(axis=2) - 1 / p.shape[1]).sum(axis=1) for p in plans]
    np.testing.assert_allclose(offsets[:, 1], np.ravel(errors), atol=1e-9)
    assert (offsets[:, 0] >= 1).all()
    assert (offsets[:, 1] <= 1e-3).all()
    assert display.tol_line_.get_ydata()[0] == 1e-3
    assert display.ax_.get_yscale() == "log"
    model[-1].set_params(tol=0)
    assert ConvergenceDisplay.from_estimator(model, sets).tol_line_ is None


def test_there_is_no_picture_of_what_was_not_iterated(sets):
    with pytest.raises(ValueError, match="Nothing was iterated"):
        ConvergenceDisplay.from_estimator(embedding().fit(sets))
    model = embedding().fit(sets).set_params(solver="softmax")
    with pytest.raises(ValueError, match="solver is 'softmax', which doesn't iterate"):
        ConvergenceDisplay.from_estimator(model, sets)


# ---- All of them

DISPLAYS = [
    lambda model, X, **more: TransportPlanDisplay.from_estimator(model, X[5:6], **more),
    lambda model, X, **more: ImportanceDisplay.from_estimator(model, X[5:6], **more),
    SupportsDisplay.from_estimator,
    ConvergenceDisplay.from_estimator,
]
NAMES = ["plan", "importance", "supports", "convergence"]


@pytest.mark.parametrize("draw", DISPLAYS, ids=NAMES)
def test_displays_draw_on_given_axes_and_again(sets, draw):
    model = classifier(sets)
    _, (ax, other) = plt.subplots(ncols=2)
    n_axes = len(ax.figure.axes)
    more = {} if draw is DISPLAYS[3] else {"colorbar": False}
    display = draw(model, sets, ax=ax, **more)
    assert display.ax_ is ax
    assert len(ax.figure.axes) == n_axes
    assert display.plot(ax=other) is display
    assert display.ax_ is other
    display.figure_.canvas.draw()


@pytest.mark.parametrize("draw", DISPLAYS, ids=NAMES)
def test_displays_refuse_what_is_not_fitted(sets, draw):
    with pytest.raises(NotFittedError):
        draw(make_pipeline(embedding(), LogisticRegression()), sets)


@pytest.mark.parametrize("draw", DISPLAYS, ids=NAMES)
def test_displays_without_matplotlib_name_the_extra(sets, draw, monkeypatch):
    model = classifier(sets)
    display = draw(model, sets)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"Display needs matplotlib: .*\[display\]"):
        draw(model, sets)
    with pytest.raises(ImportError, match=r"Display needs matplotlib: .*\[display\]"):
        display.plot()


@pytest.mark.parametrize("display", [TransportPlanDisplay, ImportanceDisplay])
@pytest.mark.parametrize(
    ("X", "arguments", "message"),
    [
        (slice(None), {}, r"X holds 12 sets; expected one, or index=0 to 11 .*\[X\]"),
        (slice(None), {"index": 12}, "index is 12; expected 0 to 11"),
        (slice(None), {"index": -1}, "index is -1; expected 0 to 11"),
        (
            slice(1),
            {"element_names": "AC"},
            r"element_names has 2 names; expected 1, one for each element of set 0\.",
        ),
        (slice(1), {"kind": "bar"}, "kind is 'bar'; expected one of"),
        (slice(1), {"kind": "grid"}, "kind is 'grid', and elements have no positions"),
        (slice(1), {"columns": (0, 4)}, r"columns is \[0, 4\]; expected two of the 4"),
        (slice(1), {"columns": ("x", 0)}, r"\['x', 0\]; expected .* by number from 0"),
        (slice(1), {"columns": (1,)}, r"columns is \[1\]; expected two"),
        (slice(1), {"columns": 0}, r"columns is \[0\]; expected two"),
    ],
)
def test_pictures_of_one_set_say_what_is_wrong(sets, display, X, arguments, message):
    model = classifier(sets)
    with pytest.raises(ValueError, match=message):
        display.from_estimator(model, sets[X], **arguments)


def test_other_wrong_arguments_are_named(sets):
    model = classifier(sets)
    with pytest.raises(ValueError, match=r"target is 'd'; expected one of .* \['a', 'b"):
        ImportanceDisplay.from_estimator(model, sets[:1], target="d")
    for display, X in [(TransportPlanDisplay, sets[:1]), (SupportsDisplay, sets)]:
        with pytest.raises(ValueError, match="reference is 1; expected 0 to 0"):
            display.from_estimator(model, X, reference=1)
    draw = SupportsDisplay.from_estimator
    with pytest.raises(ValueError, match="kind is 'words'; expected one of"):
        draw(model, sets, kind="words")
    with pytest.raises(ValueError, match="kind is 'text', which draws element_names"):
        draw(model, sets, kind="text")
    message = r"element_names has 1 entries; expected 12 sequences .* each set\."
    with pytest.raises(ValueError, match=message):
        draw(model, sets, element_names=["A"])
    letters = ["A" * len(elements) for elements in sets]
    letters[4] = "AC"
    message = rf"element_names has 2 names; expected {len(sets[4])}, .* element of set 4\."
    with pytest.raises(ValueError, match=message):
        draw(model, sets, element_names=letters)


def pasted(error, **names):
    """Value of `element_names=..` in the hint of an error message."""
    hint = str(error.value).partition(": element_names=")[2].removesuffix(".")
    return eval(hint, {"np": np, "SetCollection": SetCollection, **names})


@pytest.mark.parametrize("display", [TransportPlanDisplay, ImportanceDisplay])
@pytest.mark.parametrize("by_set", [False, True])
def test_names_of_all_sets_are_chosen_by_what_the_error_says(sets, display, by_set):
    model, n = classifier(sets), len(sets[4])
    names = [[f"{i}-{k}" for k in range(len(x))] for i, x in enumerate(sets)]
    given = names if by_set else sum(names, [])
    message = f"has {len(given)} names; expected {n}, one for each element of set 4: el"
    with pytest.raises(ValueError, match=message) as error:
        display.from_estimator(model, sets, index=4, element_names=given)
    right = pasted(error, names=given)
    assert right == names[4]
    drawn = display.from_estimator(model, sets, index=4, element_names=right)
    assert drawn.element_names == right


def test_names_of_all_elements_are_split_by_what_the_error_says(sets):
    model, letters = classifier(sets), [LETTERS[: len(x)] for x in sets]
    together = list("".join(letters))
    message = f"has {len(together)} entries; expected 12 .* for each set: element_names="
    with pytest.raises(ValueError, match=message) as error:
        SupportsDisplay.from_estimator(model, sets, element_names=together)
    right = pasted(error, names=together, X=sets)
    drawn = SupportsDisplay.from_estimator(model, sets, element_names=right)
    expected = SupportsDisplay.from_estimator(model, sets, element_names=letters)
    assert (drawn.texts == expected.texts).all()


def test_decisions_of_an_outlier_detector_are_drawn(sets):
    model = make_pipeline(embedding(), StandardScaler(), SGDOneClassSVM()).fit(sets)
    display = ImportanceDisplay.from_estimator(model, sets, index=4)
    total = display.contributions.sum() + display.constant
    np.testing.assert_allclose(total, model.decision_function(sets)[4])
    assert display.ax_.get_ylabel() == "contribution to the decision"


@pytest.mark.parametrize("display", [TransportPlanDisplay, ImportanceDisplay])
def test_the_name_of_a_set_is_in_the_title(sets, display):
    before = display.from_estimator(classifier(sets), sets, index=4).ax_.get_title()
    X = SetCollection.from_sets(sets, names=[f"${i} of 12$" for i in range(12)])
    drawn = display.from_estimator(classifier(X), X, index=4)
    assert drawn.set_name == "$4 of 12$"
    assert drawn.ax_.get_title() == ": ".join(
        ["$4 of 12$", before] if before else X.names[4:5]
    )
    drawn.figure_.canvas.draw()  # which is no formula


@pytest.fixture
def table(sets):
    """A long table whose rows are in no order, with a name for each."""
    groups = np.repeat([f"set {i}" for i in range(12)], [len(x) for x in sets])
    table = pd.DataFrame(np.concatenate(sets), columns=list("wxyz"))
    table = table.assign(group=groups, token=[f"token {i}" for i in range(len(table))])
    return table.sample(frac=1, random_state=0)


@pytest.mark.parametrize("display", [TransportPlanDisplay, ImportanceDisplay])
def test_there_is_no_picture_of_an_empty_set(sets, display):
    sets[4] = np.empty((0, 4))
    model = classifier(sets, empty_sets="zero")
    with pytest.raises(ValueError, match="set 4 of X is empty; expected one with elements"):
        display.from_estimator(model, sets, index=4)
    display.from_estimator(model, sets, index=5)
    with pytest.raises(ValueError, match="set 0 of X is empty"):
        display.from_estimator(model, sets[4:5])


@pytest.mark.parametrize("display", [TransportPlanDisplay, ImportanceDisplay])
def test_a_set_of_a_table_is_drawn_with_its_names(table, display):
    X = SetCollection.from_groups(table[list("wxyz")], table["group"])
    model, of_set = classifier(X), table[table["group"] == X.names[4]]
    message = f"element_names has {len(table)} names; expected {len(of_set)}, .* of set 4: "
    with pytest.raises(ValueError, match=message) as error:
        display.from_estimator(model, X, index=4, element_names=table["token"])
    right = pasted(error, names=table["token"], X=X)
    drawn = display.from_estimator(model, X, index=4, element_names=right)
    assert drawn.element_names == of_set["token"].tolist()
    assert drawn.set_name == X.names[4]
    drawn = display.from_estimator(model, X, index=4, columns=("z", "w"))
    np.testing.assert_array_equal(drawn.points_.get_offsets(), of_set[["z", "w"]])
    assert (drawn.ax_.get_xlabel(), drawn.ax_.get_ylabel()) == ("z", "w")


def test_supports_are_drawn_with_the_names_of_a_table(table):
    X = SetCollection.from_groups(table[list("wxyz")], table["group"])
    model, draw = embedding().fit(X), SupportsDisplay.from_estimator
    message = (
        f"element_names has {len(table)} entries; expected 12 sequences of .* each set: "
    )
    with pytest.raises(ValueError, match=message) as error:
        draw(model, X, element_names=table["token"])
    right = pasted(error, names=table["token"], X=X)
    drawn = draw(model, X, element_names=right)
    nearest = nearest_elements(model, X)
    rows = X.rows[X.offsets[nearest.set_index] + nearest.start][0]
    assert (drawn.texts == table["token"].to_numpy()[rows]).all()
    assert tick_names(draw(model, X).ax_.xaxis) == list("wxyz")


def test_steps_that_change_the_number_of_elements_but_layers_are_named(sets):
    layer = ConvolutionalKernelLayer(5, filter_size=3, subsampling=2, random_state=0)
    model = make_pipeline(layer, embedding()).fit(sets)
    display = TransportPlanDisplay.from_estimator(model, sets, index=4)
    assert display.im_.get_array().shape == (4, len(sets[4]))
    first = FunctionTransformer(lambda X: [elements[:1] for elements in X])
    model = make_pipeline(first, embedding()).fit(sets)
    with pytest.raises(ValueError, match=r"'functiontransformer' .* changes how many"):
        TransportPlanDisplay.from_estimator(model, sets, index=4)
