"""References learned from sets: Wasserstein K-means and barycentres."""

import numpy as np
import ot
import pytest
from helpers import plain_features
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn._utils.progress import Progress
from otk_sklearn.features._feature_map import FeatureMap
from otk_sklearn.matching import _references
from otk_sklearn.transport._problem import Transport

METHODS = ["kmeans", "barycenter"]
KERNELS = ["rbf", "homogeneous", "linear"]


def make_model(**params):
    defaults = {
        "n_supports": 4,
        "n_references": 3,
        "n_components": 16,
        "epsilon": 0.2,
        "tol": 1e-8,
        "max_iter": 100_000,
        "random_state": 0,
    }
    return OTKEmbedding(**{**defaults, **params})


def nearest_reference(model, X):
    """The reference of largest `<P, S>`, from what a user has."""
    embeddings = model.transform(X).reshape(len(X), *model.references_.shape)
    return (embeddings * model.references_).sum(axis=(2, 3)).argmax(axis=1)


def make_groups(seed, n_sets=120):
    """Sets of three groups that differ in how their elements spread on a small scale.

    On the first axis, elements lie at both sides of 0, as far out as it happens for the
    set: a nuisance. On another axis, which is the group's, they lie at -1 and 1.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(n_sets) % 3
    X = []
    for group in y:
        n = 4 * rng.integers(3, 10)
        x = 0.3 * rng.normal(size=(n, 4))
        x[:, 0] += rng.uniform(2, 8) * np.repeat([-1, 1], n // 2)
        x[:, 1 + group] += np.resize([-1, 1], n)
        X.append(x)
    return X, y


@pytest.mark.parametrize("seed", range(5))
def test_planted_groups(seed):
    """K-means of embeddings by one reference sees the nuisance; three references don't."""
    X, y = make_groups(seed)
    params = {"kernel": "linear", "max_iter": 10_000, "random_state": seed}
    for n_supports in [4, 12]:
        single = OTKEmbedding(n_supports, **params).fit_transform(X)
        clusters = KMeans(3, n_init=10, random_state=seed).fit_predict(single)
        assert adjusted_rand_score(y, clusters) < 0.3
    several = OTKEmbedding(4, n_references=3, **params).fit(X)
    assert adjusted_rand_score(y, nearest_reference(several, X)) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("references", METHODS)
def test_planted_mixtures(references, seed):
    """Sets of noisy elements of four kinds, which the group decides."""
    rng = np.random.default_rng(seed)
    kinds = 2.5 * rng.normal(size=(4, 4, 6))
    y = rng.integers(0, 4, 120)
    X = [kinds[group][rng.integers(0, 4, rng.integers(5, 40))] for group in y]
    X = [x + rng.normal(size=x.shape) for x in X]
    model = OTKEmbedding(
        8, n_references=4, references=references, max_iter=1000, random_state=seed
    ).fit(X)
    assert adjusted_rand_score(y, nearest_reference(model, X)) >= 0.95


@pytest.mark.parametrize("seed", [4, 5, 7])
def test_many_groups(seed):
    """Eight groups, of which two share a reference until swaps lead out of that state."""
    rng = np.random.default_rng(seed)
    kinds = 2 * rng.normal(size=(8, 4, 6))
    y = rng.integers(0, 8, 200)
    X = [kinds[group][rng.integers(0, 4, rng.integers(3, 40))] for group in y]
    X = [x + rng.normal(size=x.shape) for x in X]
    model = OTKEmbedding(8, n_references=8, n_components=32, max_iter=1000)
    model.set_params(random_state=seed).fit(X)
    assert adjusted_rand_score(y, nearest_reference(model, X)) >= 0.93


def make_rare_groups():
    """One group of many sets and three of a single set each, far from each other."""
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(60, int), 1, 2, 3]
    return [np.eye(4)[g] + 0.05 * rng.normal(size=(10, 4)) for g in y], y


@pytest.mark.parametrize("seed", range(5))
def test_seeds_are_spread_out(seed, monkeypatch):
    """Sets drawn evenly would hardly ever be those of the rare groups."""
    X, y = make_rare_groups()
    monkeypatch.setattr(_references, "_MAX_SWAPS", 0)
    model = OTKEmbedding(2, n_references=4, kernel="linear", random_state=seed)
    assert adjusted_rand_score(y, nearest_reference(model.fit(X), X)) == 1


def make_features(X, **params):
    """Sets as what Wasserstein K-means works on, with the linear kernel."""
    transport = {"solver": "sinkhorn", "epsilon": 0.5, "relaxation": None}
    transport |= {"max_iter": 10_000, "tol": 1e-9, **params}
    sets, transport = SetCollection.from_sets(X), Transport(**transport)
    weights = np.ones(len(X))
    return _references._FeatureSets(FeatureMap("linear"), sets, transport, None, 1, weights)


def test_a_reference_of_no_set_starts_again_from_the_worst_matched():
    rng = np.random.default_rng(0)
    X = [np.eye(3)[k] + 0.1 * rng.normal(size=(8, 3)) for k in [0] * 10 + [1] * 10]
    references = np.array([[[1.0, 1.0, 0.0]], [[0.0, 0.0, -1.0]]])
    references /= np.linalg.norm(references, axis=2, keepdims=True)
    sets = make_features(X)
    assert (sets.match(references).values.argmax(axis=1) == 0).all()
    run = _references._alternate(sets, references, "kmeans", 0, Progress(None))
    label = run.matched.values.argmax(axis=1)
    assert len(set(label[:10])) == len(set(label[10:])) == 1
    assert label[0] != label[10]


def test_sets_go_to_the_reference_of_largest_value():
    """Of `<P, S>` for K-means; of the regularised value, which differs, for barycentres."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 3)) for n in rng.integers(1, 20, 60)]
    references = rng.normal(size=(3, 4, 3))
    references[1] *= 0.6
    sets = make_features(X)
    model = OTKEmbedding(kernel="linear", references=references, epsilon=0.5, tol=1e-9)
    model.set_params(max_iter=10_000).fit(X)
    embeddings = model.transform(X).reshape(60, 3, 4, 3)
    labels = []
    for method in METHODS:
        matched = sets.match(references, method)
        values = plain_values(model, X, method == "barycenter")
        assert_allclose(matched.values, values, rtol=1e-6, atol=1e-9)
        labels.append(values.argmax(axis=1))
    assert (labels[0] != labels[1]).any()
    for r in range(3):
        own = embeddings[labels[1] == r, r]
        assert_allclose(matched.sums[r], own.sum(axis=0), rtol=1e-6, atol=1e-9)


def plain_values(model, X, regularized):
    """Value of each set's plan to each reference, from plans and features."""
    values = np.empty((len(X), len(model.references_)))
    for i, (x, plans) in enumerate(zip(X, model.transport_plan(X))):
        psi = plain_features(model.kernel, model.gamma_, model.anchors_, model.damping, x)
        for r, (plan, reference) in enumerate(zip(plans, model.references_)):
            values[i, r] = np.sum(plan * (psi @ reference.T))
            if regularized:
                independent = np.full_like(plan, 1 / plan.size)
                values[i, r] -= model.epsilon * np.sum(plan * np.log(plan / independent))
    return values


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("references", METHODS)
def test_history_is_the_objective_of_the_best_state(references, kernel, sets):
    model = make_model(references=references, kernel=kernel).fit(sets)
    values = plain_values(model, sets, references == "barycenter")
    objective = values.max(axis=1).mean()
    assert_allclose(model.objective_history_.max(), objective, rtol=1e-6)
    assert model.n_iter_ == len(model.objective_history_) > 1
    assert_allclose(np.linalg.norm(model.references_, axis=2), 1)


@pytest.mark.filterwarnings("ignore:Sinkhorn missed")  # at the smallest epsilon
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n_references", [1, 3])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "softmax"},
        {"solver": "emd"},
        {"relaxation": 0.2},
        {"support_relaxation": 0.2},
        {"position": "gaussian", "position_sigma": 0.3},
        {"position": "hard", "position_sigma": 0.3, "relaxation": 0.2},
        {"filter_size": 3, "padding": "same"},
        {"epsilon": 0.01},
    ],
    ids=str,
)
def test_barycentres_never_fall(params, n_references, kernel, sets):
    params = {"references": "barycenter", "n_references": n_references, **params}
    history = make_model(kernel=kernel, **params).fit(sets).objective_history_
    assert len(history) > 1
    scale = np.abs(history).max()
    assert np.diff(history).min() >= -1e-7 * scale
    assert history[-1] > history[0]


@pytest.mark.parametrize("n_references", [1, 3])
@pytest.mark.parametrize("scale", [1, 10])
def test_barycentres_never_fall_beyond_a_loose_tolerance(scale, n_references):
    X = [scale * x for x in make_groups(0)[0]]
    for tol in [1e-1, 1e-2, 1e-3]:
        model = OTKEmbedding(4, n_references=n_references, references="barycenter", tol=tol)
        model.set_params(kernel="linear", max_iter=1000, epsilon=0.2, random_state=0)
        history = model.fit(X).objective_history_
        assert np.diff(history).min() >= -tol * scale
        assert history[-1] > history[0]


@pytest.mark.filterwarnings("ignore:Sinkhorn missed")
@pytest.mark.parametrize("kernel", ["linear", "homogeneous"])
@pytest.mark.parametrize("seed", range(4))
def test_barycentres_of_unscaled_elements_hardly_fall(seed, kernel):
    """At the defaults. Plans of a hundred iterations would be too poor for that."""
    rng = np.random.default_rng(seed)
    X = [10 * rng.normal(size=(rng.integers(1, 25), 3)) for _ in range(8)]
    model = OTKEmbedding(6, references="barycenter", kernel=kernel, n_components=8)
    history = model.set_params(random_state=0).fit(X).objective_history_
    assert np.diff(history).min() >= -model.tol
    assert history[-1] > history[0]


def test_plans_that_miss_the_tolerance_are_warned_of_once(sets):
    for references in METHODS:
        model = make_model(references=references, max_iter=1, epsilon=0.05)
        message = "missed .* of 12 sets that references were learned from"
        with pytest.warns(ConvergenceWarning, match=message) as caught:
            model.fit(sets)
        assert len(caught) == 1
        with pytest.warns(ConvergenceWarning, match=r"missed .* of 12 sets \(") as caught:
            model.fit_transform(sets)
        assert len(caught) == 1


@pytest.mark.parametrize("params", [{}, {"tol": 0, "max_iter": 300}], ids=str)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_barycentre_is_a_fixed_point(kernel, params, sets):
    """Supports point along the mean embedding of all sets."""
    model = make_model(references="barycenter", n_references=1, kernel=kernel, **params)
    model.fit(sets)
    before = make_model(n_references=1, kernel=kernel).fit(sets)
    mean = model.transform(sets).mean(axis=0).reshape(4, -1)
    cosines = (mean * model.references_[0]).sum(axis=1) / np.linalg.norm(mean, axis=1)
    assert cosines.min() > 0.99
    for m in [model, before]:
        m.values = plain_values(m, sets, True).mean()
    assert model.values > before.values


def test_a_barycentre_against_pot():
    """Of equal sets, the exact barycentre is the set itself: POT finds the same."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    X = [rng.permutation(x) for _ in range(5)]
    model = make_model(
        references="barycenter", n_references=1, kernel="linear", solver="emd"
    ).fit(X)
    pot = ot.lp.free_support_barycenter(
        X, [np.full(4, 0.25)] * 5, model.references_[0] + 0.1 * rng.normal(size=(4, 3))
    )
    for support, expected in zip(model.references_[0], pot):
        assert_allclose(support, expected, atol=1e-6)
        assert np.isclose(x @ support, 1).any()


DEGENERATE = {
    "single elements": [[[float(i), 1.0]] for i in range(6)],
    "equal sets": [[[1.0, 2.0], [3.0, 1.0]]] * 5,
    "equal elements": [[[1.0, 2.0]] * 3] * 4,
    "zeros": [np.zeros((3, 2))] * 4,
    "a few zeros": [np.zeros((3, 2)), np.eye(2), np.zeros((1, 2)), -np.eye(2)],
    "two kinds": [[[1.0, 0.0]] * 2] * 3 + [[[0.0, 1.0]]] * 3,
    "as many sets as references": [np.eye(2), -np.eye(2), 2 * np.ones((3, 2))],
    "far apart": [np.eye(2) * 10.0**i for i in range(-6, 7)],
    "huge": [1e150 * np.eye(2), -1e150 * np.eye(2), 1e150 * np.ones((3, 2))],
}


@pytest.mark.filterwarnings("ignore:n_components", "ignore:Sinkhorn missed")
@pytest.mark.pairwise(
    ("case", DEGENERATE),
    ("references", METHODS),
    ("kernel", KERNELS),
    ("solver", ["sinkhorn", "emd", "softmax", "relaxed"]),
)
def test_degenerate_sets(case, references, kernel, solver):
    sets = [np.array(x, dtype=float) for x in DEGENERATE[case]]
    transport = {"solver": solver}
    if solver == "relaxed":
        transport = {"relaxation": 0.1}
    for dtype in [np.float64, np.float32] if case != "huge" else [np.float64]:
        X = [x.astype(dtype) for x in sets]
        model = make_model(kernel=kernel, references=references, **transport)
        model.set_params(tol=1e-3, max_iter=500)
        Xt = model.fit_transform(X)
        assert Xt.shape[1] == 3 * 4 * (2 if kernel == "linear" else len(model.anchors_))
        for array in [Xt, model.references_, model.objective_history_]:
            assert np.isfinite(array).all()
        if case == "two kinds" and solver != "relaxed":
            near = nearest_reference(model, X)
            assert len(set(near[:3])) == len(set(near[3:])) == 1
            assert near[0] != near[3]


@pytest.mark.parametrize("references", METHODS)
def test_fewer_sets_than_references(references, sets):
    model = make_model(n_references=13, references=references)
    message = "X has n_samples=12 sets; expected at least .* references, n_references=13"
    with pytest.raises(ValueError, match=message):
        model.fit(sets)
    assert not hasattr(model, "references_")
    assert model.set_params(n_references=12).fit(sets).references_.shape == (12, 4, 16)
    make_model(n_references=13, references="random").fit(sets)


@pytest.mark.parametrize("references", METHODS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_and_repetitions(kernel, references, sets):
    rng = np.random.default_rng(0)
    counts = [1 + rng.integers(0, 3, len(x)) for x in sets]
    repeated = [np.repeat(x, c, axis=0) for x, c in zip(sets, counts)]
    weighted = SetCollection.from_sets(sets, weights=counts)
    model = make_model(references=references, kernel=kernel)
    Xt = model.fit_transform(weighted)
    assert_allclose(clone(model).fit_transform(repeated), Xt, atol=1e-6)
    permuted = [rng.permutation(x) for x in repeated]
    assert_allclose(clone(model).fit_transform(permuted), Xt, atol=1e-6)
    assert np.abs(clone(model).fit_transform(sets) - Xt).max() > 1e-3


@pytest.mark.parametrize("references", METHODS)
def test_threads_under_little_memory(references, sets):
    """Chunks are small, and equal for any number of threads."""
    X = sets * 4
    model = make_model(references=references, tol=1e-3)
    with config_context(working_memory=0.01):
        one = clone(model).fit(X)
        for n_jobs in [2, 5]:
            several = clone(model).set_params(n_jobs=n_jobs).fit(X)
            assert_array_equal(several.references_, one.references_)
            assert_array_equal(several.transform(X), one.transform(X))


@pytest.mark.parametrize("references", METHODS)
def test_threads_dtypes_and_seeds(references, sets):
    model = make_model(references=references, tol=1e-5)
    fitted = clone(model).fit(sets * 20)
    threads = clone(model).set_params(n_jobs=2).fit(sets * 20)
    for name in ["references_", "objective_history_"]:
        assert_array_equal(getattr(fitted, name), getattr(threads, name))
    single = clone(model).fit([x.astype(np.float32) for x in sets])
    assert single.references_.dtype == np.float32
    assert single.transform(sets).dtype == np.float64
    again, other = clone(model).fit(sets), clone(model).set_params(random_state=1).fit(sets)
    assert_array_equal(again.references_, clone(model).fit(sets).references_)
    assert np.abs(other.references_ - again.references_).max() > 1e-3


def test_learning_from_a_sample_of_sets_and_elements():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = [rng.normal(size=(400, 2)) + 8 * np.array([[1, 0], [0, 1]])[g] for g in y]
    X.append(np.full((5000, 2), 4.0))
    model = OTKEmbedding(3, n_references=2, max_elements=1500, max_iter=1000, epsilon=0.1)
    model.set_params(random_state=0, n_components=8).fit(X)
    assert adjusted_rand_score(y, nearest_reference(model, X)[:60]) == 1
    for max_elements in [1, 2, 7]:  # fewer than there are sets, or references
        few = clone(model).set_params(max_elements=max_elements, n_components=1)
        assert np.isfinite(few.fit_transform(X)).all()


def test_random_and_given_references(sets):
    model = make_model(references="random").fit(sets)
    assert model.references_.shape == (3, 4, 16)
    assert_allclose(np.linalg.norm(model.references_, axis=2), 1)
    assert len(np.unique(model.references_.reshape(12, 16), axis=0)) > 4
    assert model.n_iter_ == 1
    assert model.objective_history_.shape == (0,)
    learned = make_model().fit(sets)
    transferred = make_model(
        anchors=learned.anchors_, gamma=learned.gamma_, references=learned.references_
    ).fit(sets[:2])
    assert_allclose(transferred.transform(sets), learned.transform(sets), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("references", METHODS)
def test_kernel_matrix_grid_search_and_memory(references, sets, tmp_path):
    y = np.arange(len(sets)) % 2
    model = make_model(references=references, memory=str(tmp_path)).fit(sets)
    kernel, Xt = model.kernel_matrix(sets), model.transform(sets)
    assert_allclose(kernel, Xt @ Xt.T / 12, atol=1e-10)
    SVC(kernel="precomputed").fit(kernel, y)
    assert_allclose(model.kernel_matrix(sets, sets[:3]), kernel[:, :3], atol=1e-10)
    assert_array_equal(clone(model).fit_transform(sets), Xt)  # from the cache
    for params in [
        {"epsilon": 0.4},
        {"relaxation": 0.5},
        {"support_relaxation": 0.5},
        {"position": "gaussian"},
        {"position": "gaussian", "position_sigma": 0.4},
        {"n_references": 2},
        {"filter_size": 2},
        {"max_elements": 50},
    ]:  # all of which change what is learned
        changed = clone(model).set_params(**params)
        expected = clone(changed).set_params(memory=None).fit(sets)
        assert_array_equal(changed.fit(sets).references_, expected.references_)
        Xt_changed = changed.transform(sets)
        kernel = Xt_changed @ Xt_changed.T / np.prod(changed.references_.shape[:2])
        assert_allclose(changed.kernel_matrix(sets), kernel, atol=1e-10)
    plans = model.transport_plan(sets)
    assert [p.shape for p in plans] == [(3, len(x), 4) for x in sets]
    for plan in plans:
        assert_allclose(plan.sum(axis=1), 1 / 4)
    assert model.sinkhorn_diagnostics(sets).residual.shape == (12, 3)
    pipeline = make_pipeline(model, LogisticRegression())
    grid = {
        "otkembedding__n_references": [1, 2],
        "otkembedding__position": [None, "gaussian"],
        "otkembedding__filter_size": [1, 2],
        "otkembedding__relaxation": [None, 0.5],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(sets, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
