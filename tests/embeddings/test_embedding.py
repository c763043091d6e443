"""`OTKEmbedding` on ragged sets: what it computes, and what must not matter."""

import pickle
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import make_sets, plain_embedding
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection
from otk_sklearn.datasets import load_digit_points

KERNELS = ["rbf", "homogeneous", "linear"]
SOLVERS = ["sinkhorn", "softmax", "emd"]
every_kernel_and_solver = pytest.mark.parametrize(
    ("kernel", "solver"), [(k, s) for k in KERNELS for s in SOLVERS]
)


def make_model(**params):
    """A small model. Iterations are plenty: no warning is expected."""
    defaults = {
        "n_supports": 5,
        "n_components": 16,
        "epsilon": 0.1,
        "tol": 1e-6,
        "max_iter": 10_000,
        "random_state": 0,
    }
    return OTKEmbedding(**{**defaults, **params})


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    ("solver", ["sinkhorn", "softmax"]),
    ("weighted", [False, True]),
)
def test_embedding_is_the_formulas(kernel, solver, weighted, sets):
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.1, 1, len(x)) if weighted else np.ones(len(x)) for x in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model = make_model(kernel=kernel, solver=solver, tol=0, max_iter=30).fit(X)
    expected = [plain_embedding(model, x, w / w.sum()) for x, w in zip(sets, weights)]
    assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-8)


def test_several_references_given_as_an_array(sets):
    references = np.random.default_rng(0).normal(size=(3, 4, 16))
    model = make_model(references=references, tol=0, max_iter=30).fit(sets)
    assert_array_equal(model.references_, references)
    sets32 = [x.astype(np.float32) for x in sets]
    assert_array_equal(clone(model).fit(sets32).references_, references)
    Xt = model.transform(sets)
    assert Xt.shape == (len(sets), 3 * 4 * 16)
    assert_allclose(Xt, [plain_embedding(model, x) for x in sets], rtol=1e-6, atol=1e-8)
    one = make_model(references=references[[1]], tol=0, max_iter=30).fit(sets)
    assert_allclose(one.transform(sets), Xt.reshape(-1, 3, 64)[:, 1], atol=1e-10)


@every_kernel_and_solver
def test_order_of_sets_batches_and_subsets(kernel, solver, sets, collection):
    model = make_model(kernel=kernel, solver=solver).fit(sets)
    Xt = model.transform(sets)
    order = np.random.default_rng(0).permutation(len(sets))
    assert_allclose(model.transform(collection[order]), Xt[order], rtol=0, atol=1e-10)
    alone = [model.transform([x])[0] for x in sets]
    assert_allclose(alone, Xt, rtol=0, atol=1e-10)
    assert_allclose(model.transform(sets[3:7]), Xt[3:7], rtol=0, atol=1e-10)


@every_kernel_and_solver
def test_order_and_repetition_of_elements(kernel, solver, sets):
    """They matter neither to fit nor to transform; nor does the order of sets to fit."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(sets))
    permuted = [rng.permutation(x) for x in sets]
    twice = [np.repeat(x, 2, axis=0) for x in sets]
    model = make_model(kernel=kernel, solver=solver).fit(sets)
    Xt = model.transform(sets)
    for same in [permuted, twice, [np.tile(x, (2, 1)) for x in sets]]:
        assert_allclose(model.transform(same), Xt, rtol=0, atol=1e-9)
        refitted = clone(model).fit([same[i] for i in order])
        assert_allclose(refitted.transform(sets), Xt, rtol=0, atol=1e-7)


@every_kernel_and_solver
def test_an_integer_weight_is_a_repetition(kernel, solver, sets):
    rng = np.random.default_rng(0)
    counts = [rng.integers(0, 4, len(x)) for x in sets]
    counts = [np.where(c.sum() > 0, c, 1) for c in counts]
    repeated = [np.repeat(x, c, axis=0) for x, c in zip(sets, counts)]
    weighted = SetCollection.from_sets(sets, weights=counts)
    model = make_model(kernel=kernel, solver=solver).fit(repeated)
    Xt = model.transform(repeated)
    assert_allclose(model.transform(weighted), Xt, rtol=0, atol=1e-9)
    refitted = clone(model).fit(weighted)
    assert_allclose(refitted.transform(weighted), Xt, rtol=0, atol=1e-7)
    scaled = SetCollection.from_sets(sets, weights=[7.5 * c for c in counts])
    assert_allclose(model.transform(scaled), Xt, rtol=0, atol=1e-9)
    assert np.abs(model.transform(sets) - Xt).max() > 1e-3


def test_fit_is_idempotent_and_leaves_its_input_alone(sets):
    copies = [x.copy() for x in sets]
    model = make_model().fit(sets)
    first = pickle.dumps(vars(model))
    model.fit(sets).transform(sets)
    assert pickle.dumps(vars(model)) == first
    for x, copy in zip(sets, copies):
        assert_array_equal(x, copy)
        assert x.flags.writeable
    assert_array_equal(clone(model).fit_transform(sets), model.transform(sets))


def test_pickle_and_clone(sets, tmp_path):
    model = make_model().fit(sets)
    Xt = model.transform(sets)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model.joblib", mmap_mode="r"),
    ]:
        assert_array_equal(copy.transform(sets), Xt)
    assert_array_equal(clone(model).fit(sets).transform(sets), Xt)
    assert not hasattr(clone(model), "references_")


def test_read_only_memory_mapped_and_fortran_order(sets, tmp_path):
    model = make_model().fit(sets)
    Xt = model.transform(sets)
    joblib.dump(sets, tmp_path / "sets.joblib")
    mapped = joblib.load(tmp_path / "sets.joblib", mmap_mode="r")
    assert isinstance(mapped[-1], np.memmap)
    fortran = [np.asfortranarray(x) for x in sets]
    strided = [np.repeat(x, 2, axis=0)[::2] for x in sets]
    read_only = [x.copy() for x in sets]
    for x in read_only:
        x.flags.writeable = False
    for same in [mapped, fortran, strided, read_only]:
        assert_array_equal(model.transform(same), Xt)
        assert_array_equal(clone(model).fit_transform(same), Xt)


@every_kernel_and_solver
def test_float32(kernel, solver, sets):
    model = make_model(kernel=kernel, solver=solver, tol=1e-5).fit(sets)
    sets32 = [x.astype(np.float32) for x in sets]
    exact = [x.astype(float) for x in sets32]
    Xt = model.transform(sets32)
    assert Xt.dtype == np.float32
    assert_allclose(Xt, model.transform(exact), rtol=0, atol=2e-4)
    fitted = clone(model).fit(sets32)
    for name in ["anchors_", "normalization_", "references_"]:
        array = getattr(fitted, name)
        assert array is None or array.dtype == np.float32
    assert fitted.transform(sets32).dtype == np.float32
    assert fitted.transform(exact).dtype == np.float64
    assert_allclose(fitted.transform(sets32), fitted.transform(exact), rtol=0, atol=2e-4)


def test_numpy_scalars_as_parameters(sets):
    """As `np.logspace` puts them into a grid: they must not decide the precision."""
    for solver in SOLVERS:
        model = make_model(solver=solver, epsilon=np.float64(0.1), tol=np.float64(1e-4))
        model.set_params(max_iter=np.int32(50), n_supports=np.int64(3)).fit(sets)
        sets32 = [x.astype(np.float32) for x in sets]
        assert model.transform(sets32).dtype == np.float32
        assert model.kernel_matrix(sets32).dtype == np.float32
        assert model.transport_plan(sets32)[0].dtype == np.float32


@pytest.mark.pairwise(
    ("solver", ["sinkhorn", "softmax"]),
    ("epsilon", [1e-3, 1e-2, 0.1, 1.0]),
    ("damping", [1e-2, 1e-4]),
    ("kernel", ["rbf", "homogeneous"]),
)
def test_float32_plans_of_kernels(solver, epsilon, damping, kernel):
    """Whitening makes features cancel: what float32 has left must be enough."""
    X, _ = load_digit_points()
    X = ElementTransformer(StandardScaler()).fit_transform(X[:100])
    X = X.with_values(X.values.astype(np.float32))
    model = make_model(
        kernel=kernel, solver=solver, damping=damping, n_components=64, n_supports=10
    )
    model.set_params(epsilon=epsilon, max_iter=100, tol=0).fit(X)
    exact = model.transport_plan(X.astype(np.float64))
    for plan, expected in zip(model.transport_plan(X), exact):
        assert_allclose(plan, expected, rtol=0, atol=1e-4 / 10)


def test_a_tolerance_beyond_float32_is_met(sets):
    model = make_model(tol=1e-10).fit(sets)
    found = model.sinkhorn_diagnostics([x.astype(np.float32) for x in sets])
    assert (found.residual <= 1e-10).all()


def test_memory_of_a_long_set_is_bounded():
    """Features of 200,000 elements would take 100 MiB; two plans take 24."""
    X = [np.random.default_rng(0).normal(size=(200_000, 4))]
    model = make_model(n_supports=8, n_components=64, max_elements=5000)
    for solver in ["sinkhorn", "softmax"]:
        with config_context(working_memory=8):
            model.set_params(solver=solver).fit(X)
            tracemalloc.start()
            model.transform(X)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 64 * 2**20


def test_names_and_set_output(sets):
    model = make_model().fit(sets)
    names = model.get_feature_names_out()
    assert names.tolist() == [
        f"otkembedding_support{j}_component{k}" for j in range(5) for k in range(16)
    ]
    Xt = model.transform(sets)
    frame = clone(model).set_output(transform="pandas").fit_transform(sets)
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.tolist() == names.tolist()
    assert_array_equal(frame.to_numpy(), Xt)
    pipeline = make_pipeline(ElementTransformer(StandardScaler()), make_model())
    expected = pipeline.fit_transform(sets)
    asked = clone(pipeline).set_output(transform="pandas").fit_transform(sets)
    with config_context(transform_output="pandas"):
        everywhere = clone(pipeline).fit_transform(sets)
    for frame in [asked, everywhere]:
        assert isinstance(frame, pd.DataFrame)
        assert_array_equal(frame.to_numpy(), expected)
        assert frame.columns.tolist() == pipeline.get_feature_names_out().tolist()


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_threads_give_the_same_bits(n_jobs):
    sets = make_sets(n_sets=400, max_length=60)  # several chunks
    model = make_model().fit(sets)
    threaded = make_model(n_jobs=n_jobs).fit(sets)
    assert_array_equal(threaded.references_, model.references_)
    assert_array_equal(threaded.transform(sets), model.transform(sets))
    for plan, expected in zip(threaded.transport_plan(sets), model.transport_plan(sets)):
        assert_array_equal(plan, expected)


@pytest.mark.parametrize("working_memory", [0.001, 0.05, 1])
def test_chunks_do_not_matter(working_memory):
    """Down to chunks of one element, where features are computed twice."""
    sets = make_sets(n_sets=30, max_length=60)
    model = make_model().fit(sets)
    Xt, plans = model.transform(sets), model.transport_plan(sets)
    with config_context(working_memory=working_memory):
        assert_allclose(model.transform(sets), Xt, rtol=0, atol=1e-10)
        for plan, expected in zip(model.transport_plan(sets), plans):
            assert_allclose(plan, expected, rtol=0, atol=1e-10)


@every_kernel_and_solver
def test_transport_plan(kernel, solver, sets):
    model = make_model(kernel=kernel, solver=solver).fit(sets)
    plans = model.transport_plan(sets)
    assert len(plans) == len(sets)
    for x, plan in zip(sets, plans):
        assert plan.shape == (1, len(x), 5)
        assert_allclose(plan.sum(axis=1), 1 / 5)
        if solver != "softmax":
            assert_allclose(plan.sum(axis=2), 1 / len(x), atol=1e-6)


def test_kernel_matrix(sets):
    model = make_model().fit(sets)
    phi = model.transform(sets)
    K = model.kernel_matrix(sets)
    assert_allclose(K, phi @ phi.T / 5)
    assert_allclose(model.kernel_matrix(sets[:3], sets), K[:3])
    y = np.arange(len(sets)) % 2
    SVC(kernel="precomputed").fit(K, y).predict(model.kernel_matrix(sets[:2], sets))


def test_one_reference_of_few_or_equal_elements():
    """Supports repeat cyclically; there are as many anchors as distinct elements."""
    X = [np.ones((3, 2)), np.array([[1.0, 1.0], [2.0, 0.0]])]
    with pytest.warns(UserWarning, match="n_components=16 is more than the 2 distinct"):
        model = make_model().fit(X)
    assert model.references_.shape == (1, 5, 2)
    assert_array_equal(model.references_[0, [2, 3, 4]], model.references_[0, [0, 1, 0]])
    assert np.isfinite(model.transform(X)).all()
    assert_allclose(np.linalg.norm(model.references_, axis=2), 1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.filterwarnings("ignore:n_components=16 is more than")
def test_zeros_and_single_elements(kernel):
    for X in [[np.zeros((3, 2))], [np.ones((1, 2))], [np.zeros((1, 2)), np.ones((1, 2))]]:
        model = make_model(kernel=kernel).fit(X)
        assert np.isfinite(model.transform(X)).all()
        assert np.isfinite(model.transform([np.full((4, 2), 7.0)])).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The embeddings of:UserWarning")
def test_no_nan_at_any_scale(kernel, dtype, sets):
    for scale in [1e-30, 1e-10, 1e10, 1e30]:
        X = [(scale * x).astype(dtype) for x in sets]
        for solver in SOLVERS:
            model = make_model(kernel=kernel, solver=solver, max_iter=20)
            assert np.isfinite(model.fit_transform(X)).all()
            for other in [1, 1e3, 1e-20, 1e18]:
                Y = [(other * x).astype(dtype) for x in sets]
                assert np.isfinite(model.transform(Y)).all()
            for gamma in [1e-10, 1.0, 1e20]:
                model.set_params(gamma=gamma)
                assert np.isfinite(model.fit_transform(X)).all()
                assert np.isfinite(model.transform(Y)).all()
                assert np.isfinite(model.transform([0 * x for x in Y])).all()
                assert all(np.isfinite(plan).all() for plan in model.transport_plan(Y))
            model.set_params(gamma="median")


@pytest.mark.pairwise(
    ("epsilon", [1e-320, 1e-50, 1e-12, 1e-6, 1e6, 1e300]),
    ("solver", SOLVERS),
    ("dtype", [np.float32, np.float64]),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_nan_at_any_epsilon(epsilon, solver, dtype, sets):
    X = SetCollection.from_sets(
        [x.astype(dtype) for x in sets],
        weights=[np.r_[np.zeros(len(x) - 1), 1e-60, 1][-len(x) :] for x in sets],
    )
    model = make_model(epsilon=epsilon, solver=solver, max_iter=20).fit(X)
    assert np.isfinite(model.transform(X)).all()
    digits_left = min(max(1e-5, 1e-15 / epsilon), 0.1)
    for plan in model.transport_plan(X):
        assert_allclose(plan.sum(axis=1), 1 / 5, rtol=digits_left)


def test_convergence_is_warned_of_once(sets):
    model = make_model(epsilon=1e-3, max_iter=3, tol=1e-6)
    with pytest.warns(ConvergenceWarning, match=r"missed tol=1e-06 for \d+ of 12") as w:
        model.fit_transform(sets)
    assert len(w) == 1
    found = model.sinkhorn_diagnostics(sets)
    assert found.n_iter.shape == found.residual.shape == (12, 1)
    with pytest.warns(ConvergenceWarning, match="of 15 sets") as caught:
        model.kernel_matrix(sets, sets[:3])
    assert len(caught) == 1
    missed = np.count_nonzero(found.residual > 1e-6)
    assert f"for {missed} of 12 sets" in str(w[0].message)
    model.set_params(tol=0).transform(sets)  # asked for 3 iterations: nothing to warn of


def test_random_anchors_and_references(sets):
    model = make_model(anchors="random", references="random").fit(sets)
    elements = np.vstack(sets)
    for anchor in model.anchors_:
        assert (elements == anchor).all(axis=1).any()
    assert_allclose(np.linalg.norm(model.references_, axis=2), 1)
    other = make_model(anchors="random", references="random", random_state=1).fit(sets)
    assert np.abs(other.anchors_ - model.anchors_).max() > 0


def test_fit_on_a_sample_of_elements():
    sets = make_sets(n_sets=100)
    model = make_model(max_elements=50).fit(sets)
    elements = np.vstack(sets)
    assert model.anchors_.shape == (16, 4)
    again = make_model(max_elements=50).fit(sets)
    assert_array_equal(again.anchors_, model.anchors_)
    everything = make_model(max_elements=10**6).fit(sets)
    assert np.abs(everything.anchors_ - model.anchors_).max() > 0
    as_anchors = make_model(max_elements=50, anchors="random").fit(sets)
    assert all((elements == w).all(axis=1).any() for w in as_anchors.anchors_)


def test_automatic_size_of_the_sample():
    """For anchors and for references, by what there is to learn of each."""
    X = [np.random.default_rng(0).normal(size=(40_000, 2))]
    few, more = (make_model(n_supports=p, n_components=100) for p in [3, 100])
    few.fit(X), more.fit(X)
    assert_array_equal(few.anchors_, more.anchors_)
    as_many = make_model(n_supports=3, n_components=100, max_elements=256 * 100).fit(X)
    assert_array_equal(as_many.anchors_, few.anchors_)
    assert np.abs(as_many.references_ - few.references_).max() > 0
    as_many.set_params(n_supports=100).fit(X)
    assert_array_equal(as_many.references_, more.references_)
    least = make_model(n_supports=3, n_components=10).fit(X)
    as_many = make_model(n_supports=3, n_components=10, max_elements=20_000).fit(X)
    assert_array_equal(as_many.anchors_, least.anchors_)
    assert_array_equal(as_many.references_, least.references_)


def test_every_set_counts_the_same():
    """A crowd of elements in one set doesn't draw all the supports."""
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(5000, 2)) + [10, 0]
    others = [rng.normal(size=(20, 2)) for _ in range(20)]
    model = make_model(n_components=20).fit([crowd, *others])
    assert np.count_nonzero(model.anchors_[:, 0] > 5) <= 5


def labelled_problem():
    """Two classes whose sets have the same mean, but not the same spread."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    sets = [rng.normal(size=(rng.integers(5, 30), 3)) * (1 + 2 * label) for label in y]
    return sets, y


def test_pipeline_cross_validation_and_grid_search(tmp_path):
    sets, y = labelled_problem()
    pipeline = make_pipeline(make_model(), LogisticRegression())
    for X in [sets, SetCollection.from_sets(sets)]:
        assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
        grid = GridSearchCV(
            pipeline,
            {"otkembedding__epsilon": [0.05, 0.5], "otkembedding__n_supports": [2, 5]},
            cv=3,
        ).fit(X, y)
        assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
        assert grid.predict(X).shape == y.shape


def test_weights_reach_the_inside_of_a_cross_validation():
    """Outliers of weight 0 must change nothing; left in, they do."""
    sets, y = labelled_problem()
    rng = np.random.default_rng(1)
    noisy = [np.vstack([x, 50 * rng.normal(size=(20, 3))]) for x in sets]
    weights = [np.r_[np.ones(len(x)), np.zeros(20)] for x in sets]
    pipeline = make_pipeline(make_model(), LogisticRegression())

    def probabilities(X):
        return cross_val_predict(pipeline, X, y, cv=3, method="predict_proba")

    expected = probabilities(sets)
    weighted = SetCollection.from_sets(noisy, weights=weights)
    assert_allclose(probabilities(weighted), expected, atol=1e-6)
    assert np.abs(probabilities(noisy) - expected).max() > 0.1


def test_memory_learns_anchors_once_for_each_fold(tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    calls.touch()
    import otk_sklearn.features._anchors as features

    def counted(*args):
        with calls.open("a") as file:
            file.write("x")
        return kmeans_centers(*args)

    kmeans_centers = features.kmeans_centers
    monkeypatch.setattr(features, "kmeans_centers", counted)
    sets, y = labelled_problem()
    grid = {"otkembedding__epsilon": [0.05, 0.5], "otkembedding__n_supports": [2, 5]}

    def search(memory):
        pipeline = make_pipeline(make_model(memory=memory), LogisticRegression())
        return GridSearchCV(pipeline, grid, cv=3, refit=False).fit(sets, y).cv_results_

    plain = search(None)
    assert len(calls.read_text()) == 3 * 4
    calls.write_text("")
    cached = search(str(tmp_path / "cache"))
    assert len(calls.read_text()) == 3
    assert_array_equal(cached["mean_test_score"], plain["mean_test_score"])
    search(str(tmp_path / "cache"))
    assert len(calls.read_text()) == 3


def test_a_cache_hit_changes_no_draw(sets, tmp_path):
    expected = make_model().fit_transform(sets)
    for _ in range(2):
        cached = make_model(memory=str(tmp_path)).fit_transform(sets)
        assert_array_equal(cached, expected)


@pytest.mark.parametrize("solver", SOLVERS)
def test_sets_far_from_all_that_fit_saw_are_named(solver, sets):
    X = SetCollection.from_sets(sets, names=[f"cloud {i}" for i in range(len(sets))])
    model = make_model(solver=solver).fit(X)
    model.transform(X)  # without a warning
    values = X.values.copy()
    values[X.offsets[2] : X.offsets[4]] *= 1e4
    far = X.with_values(values)
    message = "embeddings of 2 of .* sets are 0, such as of set 2, named 'cloud 2', 3, "
    with pytest.warns(UserWarning, match=message):
        assert not model.transform(far)[2:4].any()
    linear = make_model(solver=solver, kernel="linear").fit(X)
    assert not linear.transform(X.with_values(0 * X.values)).any()  # zeros, not far


def test_empty_sets_are_not_far(sets):
    model = make_model(empty_sets="zero").fit(sets)
    assert not model.transform([*sets, []])[-1].any()
