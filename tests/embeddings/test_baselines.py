"""What all simpler embeddings have in common with `OTKEmbedding`."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from helpers import make_sets
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKEmbedding,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

LEARNING = {
    "kernel mean": KernelMeanEmbedding(8, random_state=0),
    "windows": KernelMeanEmbedding(8, filter_size=3, kernel="homogeneous", random_state=0),
    "sliced": SlicedWassersteinEmbedding(6, n_quantiles=5, random_state=0),
    "fisher": FisherVectorEmbedding(3, random_state=0),
}
ALL = {"pooling": SetPooling(["mean", "std", "min", "max", "sum", "count"]), **LEARNING}
ALL_BUT_WINDOWS = [name for name in ALL if name != "windows"]
TAKE_WEIGHTS = [name for name in LEARNING if name != "fisher"]  # its mixture takes none
every_embedding = pytest.mark.parametrize("name", ALL)


def embeddings(name, train, test, **fit_params):
    return clone(ALL[name]).fit(train, **fit_params).transform(test)


@every_embedding
def test_every_kind_of_input_is_the_same_sets(name):
    cube = np.random.default_rng(0).normal(size=(5, 6, 4))
    objects = np.empty(5, dtype=object)
    objects[:] = list(cube)
    expected = embeddings(name, cube, cube)
    frames = [pd.DataFrame(x) for x in cube]
    grid = cube.reshape(5, 2, 3, 4)
    packed = SetCollection.from_sets(list(cube))
    for X in [list(cube), tuple(cube), cube.tolist(), objects, frames, packed, grid]:
        assert_array_equal(embeddings(name, X, X), expected)


@every_embedding
def test_rows_are_sets_of_one_element(name):
    rows = np.random.default_rng(0).normal(size=(10, 4))
    with pytest.warns(UserWarning, match="X is 2-D"):
        model = clone(ALL[name]).fit(rows)
    expected = model.transform(rows[:, np.newaxis])
    assert_array_equal(model.transform(rows), expected)
    frame = pd.DataFrame(rows, columns=list("abcd"))
    with pytest.warns(UserWarning, match="X is 2-D"):
        table = clone(ALL[name]).set_output(transform="pandas").fit_transform(frame)
    assert_allclose(table, expected)
    assert list(table.columns) == list(model.fit([frame]).get_feature_names_out())


@pytest.mark.parametrize("name", ["pooling", "kernel mean", "sliced"])
def test_weights_count_like_repeated_elements_and_zero_like_none(name, sets):
    rng = np.random.default_rng(0)
    weights = [rng.integers(0, 4, len(x)) for x in sets]
    for w in weights:
        w[0] = 1
    weighted = SetCollection.from_sets(sets, weights=weights)
    repeated = [np.repeat(x, w, axis=0) for x, w in zip(sets, weights)]
    expected = embeddings(name, repeated, repeated)
    assert_allclose(embeddings(name, weighted, weighted), expected, atol=1e-7)
    assert not np.allclose(embeddings(name, sets, sets), expected, atol=1e-2)


@pytest.mark.parametrize("name", TAKE_WEIGHTS)
def test_weights_of_sets_count_like_repeated_sets_and_zero_like_none(name, sets):
    sample_weight = np.arange(len(sets)) % 3
    repeated = [x for x, n in zip(sets, sample_weight) for _ in range(n)]
    expected = embeddings(name, repeated, sets)
    for scale in [1, 1e-3]:
        found = embeddings(name, sets, sets, sample_weight=scale * sample_weight)
        assert_allclose(found, expected, atol=1e-7)
    assert not np.allclose(embeddings(name, sets, sets), expected, atol=1e-3)


@pytest.mark.parametrize("name", TAKE_WEIGHTS)
def test_wrong_weights_of_sets_are_named(name, sets):
    model = clone(ALL[name])
    for sample_weight in [[1.0], np.zeros(len(sets)), [-1.0] + [1.0] * (len(sets) - 1)]:
        with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
            model.fit(sets, sample_weight=sample_weight)
    assert "n_features_in_" not in vars(model)


@pytest.mark.parametrize("name", ALL_BUT_WINDOWS)
def test_the_order_of_elements_does_not_matter(name, sets):
    model = clone(ALL[name]).fit(sets)
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(x) for x in sets]
    assert_allclose(model.transform(shuffled), model.transform(sets), atol=1e-10)


@every_embedding
def test_float32_stays_and_is_close(name, sets):
    singles = [x.astype(np.float32) for x in sets]
    doubles = [x.astype(np.float64) for x in singles]
    model = clone(ALL[name]).fit(doubles)
    found = model.transform(singles)
    assert found.dtype == np.float32
    assert_allclose(found, model.transform(doubles), atol=2e-3)
    assert model.fit(singles).transform(doubles).dtype == np.float64


@every_embedding
def test_threads_and_memory_decide_nothing(name):
    """Of the long set, blocks are embedded one after the other."""
    rng = np.random.default_rng(0)
    lengths = [1, 20_000, *rng.integers(1, 40, 1000)]
    weights = rng.uniform(0.1, 1, sum(lengths))
    values = rng.normal(size=(len(weights), 4))
    X = SetCollection(values, np.cumsum([0, *lengths]), weights=weights)
    model = clone(ALL[name]).fit(X[2:])
    expected = model.transform(X)
    apart = [model.transform(X[i : i + 1]) for i in range(20)]
    assert_allclose(np.concatenate(apart), expected[:20], atol=1e-10)
    with sklearn.config_context(working_memory=1):
        assert_allclose(model.transform(X), expected, atol=1e-10)
    if name != "pooling":
        assert_array_equal(model.set_params(n_jobs=3).transform(X), expected)


@every_embedding
def test_equal_seeds_give_equal_bits(name, sets):
    assert_array_equal(embeddings(name, sets, sets), embeddings(name, sets, sets))


def outcome(model, train, test):
    """Embeddings, or an error's words."""
    try:
        return (model if train is None else clone(model).fit(train)).transform(test)
    except ValueError as error:
        return str(error)


@every_embedding
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:n_components=")
def test_finite_sets_never_give_nan(name, dtype):
    """At any scale, and where there is nothing to learn from: numbers, or an error."""
    limits = np.finfo(dtype)
    sets = make_sets(dtype=dtype)
    model = clone(ALL[name]).fit(sets)
    same = [np.ones((n, 4), dtype) for n in (1, 3)]
    trials = [same, [np.zeros((2, 4), dtype)]]
    for scale in [limits.tiny, limits.tiny**0.5, limits.max**0.5 / 10, limits.max / 100]:
        trials.append([x * dtype(scale) for x in sets])
    found = [outcome(model, train, X) for X in trials for train in [None, X]]
    errors = [error for error in found if isinstance(error, str)]
    assert len(errors) <= 3
    assert all("leaves the range of" in error for error in errors)
    assert all(np.isfinite(out).all() for out in found if not isinstance(out, str))


@every_embedding
def test_errors_name_the_set(name, sets):
    model = clone(ALL[name]).fit(sets)
    bad = [x.copy() for x in sets]
    bad[3][0, 1] = np.nan
    for method in [model.transform, clone(model).fit]:
        with pytest.raises(ValueError, match="NaN in set 3"):
            method(bad)
    with pytest.raises(ValueError, match="X has 3 features, but .* is expecting 4"):
        model.transform([x[:, :3] for x in sets])


@every_embedding
def test_a_fit_that_fails_leaves_the_old_one(name, sets):
    model = clone(ALL[name]).fit(sets)
    before = copy.deepcopy(vars(model))
    with pytest.raises(ValueError, match="infinity"):
        model.fit([np.full((2, 3), np.inf)])
    assert list(vars(model)) == list(before)
    assert model.n_features_in_ == 4
    model.transform(sets)


@every_embedding
def test_copies_embed_alike(name, sets):
    model = clone(ALL[name]).fit(sets)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.transform(sets), model.transform(sets))
    expected = {k: str(v) for k, v in ALL[name].get_params().items()}
    assert {k: str(v) for k, v in clone(model).get_params().items()} == expected


@every_embedding
def test_widths_are_those_of_the_names(name, sets):
    frames = [pd.DataFrame(x, columns=["a", "b", "c", "d"]) for x in sets]
    model = clone(ALL[name]).set_output(transform="pandas").fit(frames)
    table = model.transform(frames)
    assert list(table.columns) == list(model.get_feature_names_out())
    assert len(set(table.columns)) == len(table.columns) > 1
    swapped = [frame[["b", "a", "c", "d"]] for frame in frames]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(swapped)


def two_classes(n_sets=40):
    """Sets of two kinds that differ by their mean and spread."""
    rng = np.random.default_rng(0)
    y = np.arange(n_sets) % 2
    return [rng.normal(c, 1 + c, (rng.integers(5, 15), 2)) for c in y], y


def test_all_swap_into_one_grid_search():
    X, y = two_classes()
    candidates = [*ALL.values(), OTKEmbedding(3, n_components=8, random_state=0)]
    pipeline = make_pipeline(
        ElementTransformer(StandardScaler()),
        SetPooling(),
        StandardScaler(),
        LogisticRegression(),
    )
    pipeline.steps[1] = ("embedding", SetPooling())
    search = GridSearchCV(pipeline, {"embedding": candidates}, cv=2).fit(X, y)
    assert (search.cv_results_["mean_test_score"] > 0.8).all()
    assert len(search.predict(X)) == len(X)


@pytest.mark.parametrize("name", TAKE_WEIGHTS)
def test_weights_of_sets_are_routed(name):
    X, y = two_classes()
    sample_weight = (np.arange(len(X)) < 10).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        embedding = clone(ALL[name]).set_fit_request(sample_weight=True)
        head = LogisticRegression().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(embedding, head)
        pipeline.fit(X, y, sample_weight=sample_weight)
    expected = embeddings(name, X[:10], X)
    assert_allclose(pipeline[0].transform(X), expected, atol=1e-7)


@pytest.mark.parametrize("name", LEARNING)
def test_callbacks_hear_of_fits(name, sets, capsys):
    callback = pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    pytest.importorskip("rich")
    model = clone(ALL[name]).set_callbacks(callback.ProgressBar())
    model.fit(sets)
    assert capsys.readouterr().out.count(f"{type(model).__name__} - fit") > 0
    assert_array_equal(model.transform(sets), embeddings(name, sets, sets))
