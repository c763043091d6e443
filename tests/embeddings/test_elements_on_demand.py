"""Elements that `ElementTransformer` returns without having computed them."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)
from otk_sklearn.embeddings import _elements
from otk_sklearn.sets import _computed_values
from otk_sklearn.sets._collection import on_demand
from otk_sklearn.sets._computed_values import MAX_COMPUTED_BYTES, ComputedValues

SCALERS = [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), Normalizer()]
PROJECTIONS = [
    PCA(4, random_state=0),
    IncrementalPCA(3),
    TruncatedSVD(3, random_state=0),
    GaussianRandomProjection(3, random_state=0),
]


@pytest.fixture
def at_any_size(monkeypatch):
    """Small collections are computed on demand, too, 7 rows at a time."""
    monkeypatch.setattr(_computed_values, "MAX_COMPUTED_BYTES", 0)
    monkeypatch.setattr(_elements, "MAX_COMPUTED_BYTES", 0)
    monkeypatch.setattr(_elements, "_PART_BYTES", 300)
    monkeypatch.setattr(_computed_values, "chunk_rows", lambda n_components: 7)


def is_on_demand(sets):
    """Whether elements have not been computed."""
    return isinstance(on_demand(sets).values, ComputedValues)


def make(n_sets=30, n_features=5, dtype=np.float64, weights=False, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, n_sets)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.normal(3, 2, size=(offsets[-1], n_features)).astype(dtype)
    mass = None
    if weights:
        mass = rng.uniform(size=len(values)) * (rng.uniform(size=len(values)) < 0.8)
        mass[offsets[:-1]] = 1
    return SetCollection(
        values,
        offsets,
        weights=mass,
        names=[f"set {i}" for i in range(n_sets)],
        feature_names=[f"feature {i}" for i in range(n_features)],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transformer", SCALERS, ids=str)
def test_scalers_give_the_same_bits(transformer, dtype, at_any_size):
    X = make(dtype=dtype)
    model = ElementTransformer(transformer).fit(X)
    scaled = model.transform(X)
    assert is_on_demand(scaled)
    assert type(scaled) is SetCollection
    expected = copy.deepcopy(model.transformer_)
    del expected.feature_names_in_
    expected = expected.transform(X.values)
    assert_array_equal(scaled[3], expected[X.offsets[3] : X.offsets[4]])
    for elements, start in zip(scaled, X.offsets):
        assert_array_equal(elements, expected[start : start + len(elements)])
    assert is_on_demand(scaled)
    assert_array_equal(scaled.values, expected)
    assert not is_on_demand(scaled)  # kept: read again and again, it would take long
    assert scaled.values.base is scaled.values.base
    assert scaled.dtype == scaled.values.dtype == dtype
    assert not scaled.values.flags.writeable
    assert not scaled[3].flags.writeable
    assert scaled.names.tolist() == X.names.tolist()
    assert scaled.feature_names.tolist() == X.feature_names.tolist()
    assert repr(scaled) == repr(X)


@pytest.mark.parametrize("transformer", PROJECTIONS, ids=str)
def test_projections_agree_up_to_rounding(transformer, at_any_size):
    X = make()
    model = ElementTransformer(transformer).fit(X)
    projected = model.transform(X)
    assert is_on_demand(projected)
    assert projected.feature_names.tolist() == list(model.get_feature_names_out())
    expected = clone(transformer).fit_transform(X.values)
    assert_allclose(projected.values, expected, rtol=1e-12, atol=1e-12)


def test_chains_and_pipelines_compose(at_any_size):
    X = make()
    expected = PCA(4).fit_transform(MinMaxScaler().fit_transform(X.values))
    chain = make_pipeline(
        ElementTransformer(MinMaxScaler()),
        ElementTransformer("passthrough"),
        ElementTransformer(PCA(4)),
    )
    within = make_pipeline(MinMaxScaler(), "passthrough", PCA(4))
    for model in [chain, ElementTransformer(within)]:
        result = model.fit(X).transform(X)
        assert is_on_demand(result)
        assert_allclose(result.values, expected, rtol=1e-12, atol=1e-12)


def test_half_of_the_size_or_less_is_computed_at_once(at_any_size):
    X = make(n_features=6)
    scaled = ElementTransformer(MaxAbsScaler()).fit_transform(X)
    for n_components, waits in [(3, False), (4, True)]:
        projected = ElementTransformer(PCA(n_components)).fit_transform(scaled)
        assert is_on_demand(projected) == waits
        expected = PCA(n_components).fit_transform(MaxAbsScaler().fit_transform(X.values))
        assert_allclose(projected.values, expected, rtol=1e-12, atol=1e-12)


class CenterBatches(StandardScaler):
    """A subclass may do what it likes."""

    def transform(self, X):
        return np.asarray(X) - np.mean(X, axis=0)


@pytest.mark.parametrize(
    "transformer",
    [
        CenterBatches(),
        FunctionTransformer(lambda values: values - values.mean(axis=0)),
        make_pipeline(StandardScaler(), CenterBatches()),
        ColumnTransformer([("scale", CenterBatches(), [0, 2])]),
        QuantileTransformer(n_quantiles=10),
        PowerTransformer(),
    ],
    ids=lambda transformer: type(transformer).__name__,
)
def test_transformers_that_may_look_at_other_rows_get_all(transformer, at_any_size):
    X = make().with_values(make().values)  # without names of features
    result = ElementTransformer(transformer).fit_transform(X)
    assert not is_on_demand(result)
    assert_array_equal(result.values, clone(transformer).fit_transform(X.values))


EMBEDDINGS = [
    OTKEmbedding(3, n_components=8, random_state=0),
    OTKEmbedding(3, n_components=8, n_references=2, random_state=0, max_elements=200),
    OTKEmbedding(2, n_components=8, references="barycenter", epsilon=1, random_state=0),
    OTKEmbedding(3, n_components=8, filter_size=3, position="gaussian", random_state=0),
    OTKEmbedding(3, kernel="homogeneous", n_components=8, filter_size=4, padding="same"),
    OTKEmbedding(2, kernel="linear", filter_size=2, random_state=0, max_elements=40),
    OTKEmbedding(2, kernel="homogeneous", n_components=8, random_state=0),
    KernelMeanEmbedding(8, random_state=0, max_elements=50),
    SetPooling(["mean", "std", "min", "max", "sum", "count"]),
    SlicedWassersteinEmbedding(4, n_quantiles=5, random_state=0),
    FisherVectorEmbedding(2, random_state=0),
    make_pipeline(
        ConvolutionalKernelLayer(8, filter_size=3, subsampling=2, random_state=0),
        SetPooling(),
    ),
    OTKClassifier(OTKEmbedding(2, n_components=4), max_epochs=2, random_state=0),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "weights"), [(np.float32, False), (np.float64, True)], ids=str
)
@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=lambda e: " ".join(str(e).split()))
def test_embeddings_are_the_same_bit_by_bit(embedding, dtype, weights, at_any_size):
    X = make(dtype=dtype, weights=weights)
    y = np.arange(len(X)) % 2
    scaled = ElementTransformer(StandardScaler()).fit(X).transform(X)
    if hasattr(embedding, "random_state"):
        embedding = clone(embedding).set_params(random_state=0)
    of_lazy = clone(embedding).fit(scaled, y).transform(scaled)
    assert is_on_demand(scaled)
    in_memory = copy.copy(scaled)
    assert not is_on_demand(in_memory)
    of_array = clone(embedding).fit(in_memory, y).transform(in_memory)
    assert_array_equal(of_lazy, of_array)


def test_chosen_sets_are_on_demand_and_have_their_elements(at_any_size):
    X = make(weights=True)
    scaled = ElementTransformer(StandardScaler()).fit(X).transform(X)
    expected = copy.copy(scaled[np.arange(len(X))])
    for index in [slice(3, 9), slice(None, None, 2), [5, 1, 5], np.arange(30) % 3 == 0]:
        chosen = scaled[index]
        assert is_on_demand(chosen)
        assert_array_equal(chosen.values, expected[index].values)
        assert_array_equal(chosen.weights, expected[index].weights)
        assert chosen.names.tolist() == expected[index].names.tolist()
    assert_array_equal(scaled[-1], expected[-1])
    assert_array_equal(scaled.take([2, 0]).values, expected.take([2, 0]).values)
    assert len(scaled[:0].values) == 0
    single = scaled.astype("float32")
    assert is_on_demand(single)
    assert single.dtype == single.values.dtype == np.float32
    assert_array_equal(single.values, expected.values.astype(np.float32))
    assert scaled.astype("float64").dtype == np.float64
    joined = SetCollection.concatenate([scaled[:3], scaled[3:]])
    assert is_on_demand(scaled)
    assert_array_equal(joined.values, expected.values)
    assert_array_equal(scaled.to_padded(), expected.to_padded())


def test_small_parts_of_large_collections_are_computed_at_once():
    values = np.random.default_rng(0).normal(size=(MAX_COMPUTED_BYTES // 128 + 100, 16))
    X = SetCollection(values, np.arange(0, len(values) + 1, 2))
    model = ElementTransformer(StandardScaler()).fit(X)
    scaled = model.transform(X)
    assert is_on_demand(scaled)
    assert not is_on_demand(scaled[:1000])
    assert not is_on_demand(model.transform(X[:-60]))
    assert is_on_demand(scaled[10:][:-10])
    expected = (values - model.transformer_.mean_) / model.transformer_.scale_
    assert_array_equal(scaled.values, expected)


def test_a_pickle_has_the_elements(at_any_size, tmp_path):
    X = make()
    model = ElementTransformer(StandardScaler()).fit(X)
    of_array = pickle.loads(pickle.dumps(model.transform(X)))
    assert type(of_array) is SetCollection
    assert not is_on_demand(of_array)
    # The same array each time: processes of joblib then share one file of it.
    scaled = model.transform(X)
    first, second = (scaled.__reduce__()[1][0] for _ in range(2))
    assert first is second
    # To caches, equal contents are equal, whether they have been computed or not.
    assert joblib.hash(model.transform(X)) == joblib.hash(of_array)
    assert joblib.hash(model.transform(X)) == joblib.hash(on_demand(model.transform(X)))
    assert joblib.hash(model.transform(X)) != joblib.hash(model.transform(X[:-1]))


class Counted(PCA):
    n_fits = 0

    def fit(self, X, y=None):
        Counted.n_fits += 1
        return super().fit(X, y)


def test_caches_of_pipelines_are_hit(at_any_size, tmp_path):
    X = make()
    steps = [
        ("scale", ElementTransformer(StandardScaler())),
        ("rotate", ElementTransformer(Counted(4))),
        ("pool", SetPooling()),
    ]
    without = Pipeline(steps).fit(X).transform(X)
    Counted.n_fits = 0
    for _ in range(3):  # computed, and then loaded
        model = Pipeline(steps, memory=str(tmp_path)).fit(X)
        assert_allclose(model.transform(X), without, rtol=1e-12)
    assert Counted.n_fits == 1


@pytest.mark.slow
def test_processes_of_a_search_give_the_same(at_any_size):
    y = np.arange(40) % 2
    scaled = ElementTransformer(StandardScaler()).fit_transform(make(n_sets=40))
    model = OTKClassifier(OTKEmbedding(2, n_components=4), max_epochs=1, random_state=0)
    grid = {"embedding__epsilon": [0.1, 1.0]}
    scores = []
    for n_jobs in (1, 2):
        assert is_on_demand(scaled)
        search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(scaled, y)
        scores.append(search.cv_results_["mean_test_score"])
    assert_array_equal(*scores)


def test_collections_do_not_change_with_the_model(at_any_size):
    X, other = make(), make(seed=1)
    model = ElementTransformer(StandardScaler()).fit(X)
    expected = copy.copy(model.transform(X)).values

    def refit():
        model.fit(other)

    def go_on():
        model.partial_fit(other)

    def tamper():
        model.transformer_.mean_[:] = 7
        model.transformer_.scale_ = None

    for change in [refit, go_on, tamper]:
        model.fit(X)
        scaled = model.transform(X)
        change()
        assert is_on_demand(scaled)
        assert_array_equal(scaled.values, expected)


@pytest.mark.parametrize(
    "transformer", [PCA(3), StandardScaler(), make_pipeline(StandardScaler(), PCA(3))]
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_nan_and_infinity_are_found_at_once(transformer, wrong, at_any_size):
    X = make()
    model = ElementTransformer(transformer).fit(X)
    values = X.values.copy()
    row = X.offsets[20] + 2
    values[row, 4] = wrong
    wrong_sets = X.with_values(values, feature_names=X.feature_names)
    what = "NaN" if np.isnan(wrong) else r"infinity \(inf\)"
    where = rf"{what} in set 20, named 'set 20' \(element 2, feature 'feature 4'\)"
    if isinstance(transformer, StandardScaler) and np.isnan(wrong):  # which accepts it
        scaled = model.transform(wrong_sets)
        assert np.isnan(scaled.values[row, 4])
        with pytest.raises(ValueError, match=where):
            OTKEmbedding(2).fit(scaled)
    else:
        with pytest.raises(ValueError, match=where):
            model.transform(wrong_sets)
        with pytest.raises(ValueError, match=where):
            ElementTransformer(transformer).fit(wrong_sets)
    with (
        pytest.warns(UserWarning, match="X does not have valid feature names"),
        pytest.raises(ValueError, match="X has 3 features, .* expecting 5 features"),
    ):
        model.transform(SetCollection(np.ones((9, 3)), [0, 9]))
    renamed = X.with_values(X.values, feature_names=list("abcde"))
    with pytest.raises(ValueError, match="feature names should match those"):
        model.transform(renamed)


def test_overflow_in_a_scaler_is_found_by_the_next_step(at_any_size):
    X = SetCollection(np.linspace(0, 1e-10, 40)[:, np.newaxis], [0, 20, 40])
    model = ElementTransformer(MaxAbsScaler()).fit(X)
    huge = X.with_values(np.where(np.arange(40) == 25, 1e300, X.values.T).T)
    scaled = model.transform(huge)
    with pytest.raises(ValueError, match="X contains infinity .* in set 1 .element 5, "):
        OTKEmbedding(2, n_components=2).fit(scaled)


@pytest.mark.parametrize("transformer", [StandardScaler(), MinMaxScaler(), MaxAbsScaler()])
@pytest.mark.parametrize("missing", [False, True])
def test_scalers_learn_the_same_from_parts(transformer, missing, at_any_size):
    X = make(weights=True)
    values = X.values.copy()
    if missing:
        values[40:, 1] = np.where(np.arange(40, len(values)) % 3, values[40:, 1], np.nan)
        X = X.with_values(values)
    kept = values[X.weights > 0]
    model = ElementTransformer(transformer).fit(X, np.arange(len(X)))
    expected = clone(transformer).fit(kept)
    for name, value in vars(expected).items():
        if name.endswith("_"):
            assert_allclose(getattr(model.transformer_, name), value, rtol=1e-13)


def test_weights_of_sets_reach_the_parts(at_any_size):
    X, weights = make(), np.arange(30.0)
    model = ElementTransformer(StandardScaler()).fit(X, sample_weight=weights)
    expected = StandardScaler().fit(X.values, None, np.repeat(weights, X.lengths))
    assert_allclose(model.transformer_.mean_, expected.mean_, rtol=1e-13)
    assert_allclose(model.transformer_.var_, expected.var_, rtol=1e-13)


@pytest.mark.parametrize("names", [None, list("abc")])
@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_input_is_never_overwritten(scaler, names, request):
    """By a scaler that may; elements reach it in a DataFrame if features have names."""
    values = np.random.default_rng(0).normal(3, 1, size=(50, 3))
    before = values.copy()
    X = SetCollection(values, [0, 20, 50], feature_names=names)
    scaler = clone(scaler).set_params(copy=False)
    for lazily in [False, True]:
        if lazily:
            request.getfixturevalue("at_any_size")
        scaled = ElementTransformer(scaler).fit(X).transform(X)
        for _ in range(2):
            OTKEmbedding(2, n_components=4).fit(scaled).transform(scaled)
        expected = clone(scaler).set_params(copy=True).fit_transform(before)
        assert_allclose(scaled.values, expected, atol=1e-13)
        assert_array_equal(values, before)
