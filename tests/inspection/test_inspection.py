"""Contributions, plans and nearest elements, against plain NumPy and lost elements."""

import numpy as np
import pytest
from helpers import (
    make_sets,
    means_over,
    plain_features,
    plain_match,
    plain_windows,
)
from sklearn.base import clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.decomposition import (
    NMF,
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    KernelPCA,
    MiniBatchSparsePCA,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskElasticNet,
    Perceptron,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
    SGDOneClassSVM,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor, NeighborhoodComponentsAnalysis
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
)
from otk_sklearn.inspection import (
    element_contributions,
    element_plans,
    nearest_elements,
    permutation_importance,
)
from otk_sklearn.sets._windows import filter_windows, subsampling_windows

LABELS = np.arange(12) % 3
NUMBERS = np.linspace(-1, 2, 12)
TWO_NUMBERS = np.column_stack([NUMBERS, NUMBERS**2])


def embedding(**parameters):
    """One whose plans take a fixed number of plain iterations."""
    defaults = {"n_components": 6, "tol": 0, "max_iter": 15, "random_state": 0}
    return OTKEmbedding(4, **{**defaults, **parameters})


def plain_rows(model, elements):
    """Plans and pooled terms of the elements, and the rows that each is made of.

    Returns
    -------
    plans : ndarray of shape (n_references, n_windows, n_supports)
    terms : ndarray of shape (n_windows, size of the embedding)
        They sum to the embedding.
    real : list of list of int
    """
    windows, real = plain_windows(elements, model.filter_size, model.padding)
    n = len(windows)
    masses = means_over(np.full(len(elements), 1 / len(elements)), real)
    positions, supports = (np.arange(k)[:, np.newaxis] / k for k in (n, 4))
    psi, plans = plain_match(model, windows, masses / masses.sum(), positions, supports)
    terms = plans.shape[2] * plans[..., np.newaxis] * psi[:, np.newaxis, :]
    return plans, terms.transpose(1, 0, 2, 3).reshape(n, -1), real


@pytest.mark.parametrize(
    ("first", "rest", "y"),
    [
        (embedding(), [StandardScaler(), LogisticRegression()], LABELS),
        (
            embedding(n_references=2),
            [StandardScaler(with_mean=False), LinearSVC(dual=False)],
            LABELS,
        ),
        (embedding(relaxation=0.1), [PCA(4), LogisticRegression()], LABELS > 0),
        (embedding(support_relaxation=0.1), [PCA(4), LogisticRegression()], LABELS > 0),
        (embedding(solver="softmax"), [PCA(4, whiten=True), RidgeClassifier()], LABELS),
        (embedding(position="gaussian"), [MinMaxScaler((-1, 2)), Ridge()], NUMBERS),
        (
            embedding(filter_size=3),
            [IncrementalPCA(3), Ridge()],
            np.column_stack([NUMBERS, NUMBERS**2]),
        ),
        (
            embedding(filter_size=4, padding="same", kernel="homogeneous"),
            [RobustScaler(), SelectKBest(k=9), LogisticRegression()],
            LABELS,
        ),
        (embedding(kernel="linear"), [MaxAbsScaler(), LinearSVC(dual=False)], LABELS > 0),
        (
            embedding(),
            [
                RobustScaler(with_centering=False, with_scaling=False),
                VarianceThreshold(),
                TruncatedSVD(3),
                StandardScaler(with_std=False),
                FunctionTransformer(),
                "passthrough",
                Ridge(fit_intercept=False),
            ],
            NUMBERS,
        ),
    ],
    ids=lambda value: type(value[-1]).__name__ if isinstance(value, list) else "",
)
def test_contributions_are_what_decisions_lose_without_an_element(sets, first, rest, y):
    """With the plan as it is: the element becomes the centre's, if there is one."""
    model = make_pipeline(first, *rest).fit(sets, y)
    center = np.zeros(model[0]._n_features_out)
    if model[0].support_relaxation is not None:
        pass  # elements are terms of a sum
    elif isinstance(rest[0], (PCA, IncrementalPCA)) or getattr(rest[0], "with_mean", False):
        center = model[0].transform(sets).mean(axis=0)
    elif getattr(rest[0], "with_centering", False):
        center = np.median(model[0].transform(sets), axis=0)
    decide = model[1:].predict if y.dtype == float else model[1:].decision_function
    parts = element_contributions(model, sets)
    decisions = decide(model[:1].transform(sets)).reshape(len(sets), -1)
    for i, elements in enumerate(sets):
        plans, terms, real = plain_rows(model[0], elements)
        whole = terms.sum(axis=0)
        weights = plans.shape[2] * plans.transpose(1, 0, 2).reshape(len(terms), -1)
        of_center = np.repeat(weights, model[0].references_.shape[2], axis=1) * center
        without = decide(whole - terms + of_center).reshape(len(terms), -1)
        lost = decide([whole]).reshape(1, -1) - without
        shared = np.zeros((len(elements), lost.shape[1]))
        for window, rows in zip(lost, real):
            shared[rows] += window / len(rows)
        np.testing.assert_allclose(parts.contributions[i], shared, atol=1e-9)
        total = parts.contributions[i].sum(axis=0) + parts.constant
        np.testing.assert_allclose(total, decisions[i], atol=1e-9)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (OTKClassifier(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2), LABELS),
        (
            OTKClassifier(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2),
            LABELS > 0,
        ),
        (
            OTKClassifier(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2),
            np.column_stack([LABELS > 0, LABELS < 2]).astype(int),
        ),
        (OTKRegressor(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2), NUMBERS),
        (
            make_pipeline(
                ElementTransformer(PCA(2)),
                OTKRegressor(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2),
            ),
            np.column_stack([NUMBERS, -NUMBERS]),
        ),
        (
            make_pipeline(
                OTKClassifier(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2),
                StandardScaler(),
                LogisticRegression(),
            ),
            LABELS,
        ),
        (
            GridSearchCV(
                make_pipeline(
                    ElementTransformer(StandardScaler()),
                    make_pipeline(embedding(), StandardScaler()),
                    "passthrough",
                    Ridge(),
                ),
                {"ridge__alpha": [0.1, 1.0]},
                cv=2,
            ),
            NUMBERS,
        ),
        (
            make_pipeline(
                ConvolutionalKernelLayer(5, filter_size=3, subsampling=2, random_state=0),
                ConvolutionalKernelLayer(4, filter_size=1, random_state=0),
                embedding(kernel="linear", filter_size=2, padding="same"),
                LogisticRegression(),
            ),
            LABELS,
        ),
        (make_pipeline(embedding(solver="softmax"), LogisticRegression()), LABELS),
        (make_pipeline(FunctionTransformer(list), embedding(), Ridge()), NUMBERS),
        (make_pipeline(embedding(position="hard"), StandardScaler(), Ridge()), NUMBERS),
    ],
)
@pytest.mark.filterwarnings("ignore:n_components=4 is more")
def test_contributions_and_constant_sum_to_decisions(sets, model, y):
    weights = [np.arange(1, len(elements) + 1) for elements in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    model.fit(X, y)
    decide = getattr(model, "decision_function", None) or model.predict
    parts = element_contributions(model, X)
    assert [len(part) for part in parts.contributions] == [len(s) for s in sets]
    sums = np.array([part.sum(axis=0) for part in parts.contributions]) + parts.constant
    expected = decide(X).reshape(sums.shape)
    np.testing.assert_allclose(sums, expected, atol=1e-9)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_contributions_to_kernel_means_are_by_mass(sets, kernel):
    weights = [np.arange(1, len(elements) + 1) for elements in sets]
    X = SetCollection.from_sets(sets, weights=weights)
    pooling = KernelMeanEmbedding(5, kernel=kernel, random_state=0)
    model = make_pipeline(pooling, StandardScaler(), LogisticRegression()).fit(X, LABELS)
    parts = element_contributions(model, X)
    for i, elements in enumerate(sets):
        psi = plain_features(
            kernel, model[0].gamma_, model[0].anchors_, pooling.damping, elements
        )
        terms = (weights[i] / weights[i].sum())[:, np.newaxis] * psi
        whole = terms.sum(axis=0)
        decide = model[1:].decision_function
        center = pooling.transform(X).mean(axis=0)
        of_center = (weights[i] / weights[i].sum())[:, np.newaxis] * center
        lost = decide([whole]) - decide(whole - terms + of_center)
        np.testing.assert_allclose(parts.contributions[i], lost, atol=1e-9)
    sums = np.array([part.sum(axis=0) for part in parts.contributions]) + parts.constant
    np.testing.assert_allclose(sums, model.decision_function(X), atol=1e-9)
    with pytest.raises(ValueError, match="expected an OTKEmbedding"):
        element_plans(model, X)


def test_contributions_of_float32_sets_are_near_those_of_float64(collection):
    model = make_pipeline(embedding(), LogisticRegression()).fit(collection, LABELS)
    parts = element_contributions(model, collection)
    single = element_contributions(model, collection.astype(np.float32))
    for a, b in zip(parts.contributions, single.contributions):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_plans_of_windows_are_shared_evenly_among_their_rows(sets):
    model = embedding(n_references=2, filter_size=3, padding="same").fit(sets)
    for elements, plan in zip(sets, element_plans(model, sets)):
        of_windows, _, real = plain_rows(model, elements)
        expected = np.zeros((2, len(elements), 4))
        for i, rows in enumerate(real):
            expected[:, rows] += of_windows[:, i, np.newaxis] / len(rows)
        np.testing.assert_allclose(plan, expected, atol=1e-12)


def test_plans_of_elements_are_those_of_the_embedding_whatever_is_in_front(sets):
    scaler = ElementTransformer(StandardScaler()).fit(sets)
    model = OTKClassifier(OTKEmbedding(3, n_components=5), alpha=1.0, max_epochs=2)
    model.fit(scaler.transform(sets), LABELS)
    plans = element_plans(make_pipeline(scaler, model), sets)
    expected = model.embedding_.transport_plan(scaler.transform(sets))
    for plan, other in zip(plans, expected):
        np.testing.assert_allclose(plan, other, rtol=1e-12)


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_sharing_out_is_averaging_transposed(subsampling):
    random = np.random.default_rng(0)
    offsets = np.array([0, 1, 8, 20])
    windows, taps = subsampling_windows(offsets, subsampling)
    columns, rows = (
        random.normal(size=(windows.offsets[-1], 2)),
        random.normal(size=(20, 1)),
    )
    left = rows.T @ windows.distribute_to_rows(columns, taps)
    np.testing.assert_allclose(left, windows.means(rows, taps).T @ columns)
    valid = filter_windows(offsets, 3, "valid")
    shared = valid.distribute_to_rows(np.ones((valid.offsets[-1], 1)), np.ones(3))
    np.testing.assert_allclose(np.add.reduceat(shared[:, 0], offsets[:-1]), [1, 5, 10])


@pytest.mark.parametrize("filter_size", [1, 3])
def test_nearest_elements_are_the_most_similar_distinct_ones(filter_size, monkeypatch):
    monkeypatch.setattr(
        "otk_sklearn.inspection._nearest_elements.chunk_rows", lambda n_components: 17
    )
    random = np.random.default_rng(1)
    sets = [random.integers(0, 3, size=(n, 2)).astype(float) for n in (1, 9, 30, 14)]
    model = embedding(n_references=2, filter_size=filter_size, padding="same").fit(sets)
    nearest = nearest_elements(model, sets, 4)
    windows = [plain_windows(elements, filter_size, "same") for elements in sets]
    all_windows = np.unique(np.concatenate([w for w, _ in windows]), axis=0)
    psi = plain_features("rbf", model.gamma_, model.anchors_, model.damping, all_windows)
    similarities = np.einsum("rjk,ik->rji", model.references_, psi)
    expected = -np.sort(-similarities, axis=2)[..., :4]
    np.testing.assert_allclose(nearest.similarity, expected, atol=1e-12)
    for place in np.ndindex(nearest.similarity.shape):
        of_windows, real = windows[nearest.set_index[place]]
        rows = list(range(nearest.start[place], nearest.stop[place]))
        # At the ends of a set, several windows may have the same real rows.
        found = of_windows[[i for i, others in enumerate(real) if others == rows]]
        psi = plain_features("rbf", model.gamma_, model.anchors_, model.damping, found)
        values = psi @ model.references_[place[:2]]
        assert np.abs(values - nearest.similarity[place]).min() < 1e-12
    for place in np.ndindex(nearest.similarity.shape[:2]):
        chosen = zip(nearest.set_index[place], nearest.start[place], nearest.stop[place])
        assert len(set(chosen)) == 4


def test_nearest_elements_are_all_distinct_ones_where_there_are_few():
    X = [[[0.0], [1.0], [0.0]], [[1.0], [-0.0], [3.0]]]
    model = OTKEmbedding(2, n_components=3, random_state=0).fit(X)
    nearest = nearest_elements(model, X, 10)
    assert nearest.similarity.shape == (1, 2, 3)
    values = [
        [X[i][k][0] for i, k in zip(*row)]
        for row in zip(nearest.set_index[0], nearest.start[0])
    ]
    assert [sorted(row) for row in values] == [[0.0, 1.0, 3.0]] * 2
    assert nearest.set_index[0][np.array(values) == 1.0].tolist() == [0, 0]


def test_nearest_rows_of_stacked_windows_are_all_that_they_see():
    random = np.random.default_rng(0)
    X = [random.normal(size=(n, 2)) for n in (12, 20)]
    model = make_pipeline(
        ConvolutionalKernelLayer(4, filter_size=3, random_state=0),
        ConvolutionalKernelLayer(4, filter_size=2, subsampling=2, random_state=0),
        embedding(kernel="linear", filter_size=2),
    ).fit(X)
    nearest = nearest_elements(model, X, 1)
    for j in range(4):
        i, start, stop = (nearest[name][0, j, 0] for name in ("set_index", "start", "stop"))

        def similarity(change, i=i, j=j):
            changed = [elements.copy() for elements in X]
            changed[i][change] += 0.1
            features = model[:-1].transform(changed)[i]
            windows = np.hstack([features[:-1], features[1:]])
            return windows @ model[-1].references_[0, j]

        before = similarity([])
        seen = [
            similarity([row])[before.argmax()] != before.max() for row in range(len(X[i]))
        ]
        assert np.flatnonzero(seen).tolist() == list(range(start, stop))


def double_plus_one(rows):
    return 2 * rows + 1


# Affine steps and linear models that have no formula of their own here.
OTHER_STEPS = [
    ColumnTransformer([("scale", StandardScaler(), slice(3, 9)), ("keep", PCA(2), [0, 1])]),
    FactorAnalysis(2, random_state=0),
    FastICA(3, random_state=0),
    FeatureAgglomeration(5),
    FeatureUnion([("components", PCA(2)), ("best", SelectKBest(k=2))]),
    FunctionTransformer(double_plus_one),
    GaussianRandomProjection(5, random_state=0),
    KernelPCA(3),
    LinearDiscriminantAnalysis(),
    MiniBatchSparsePCA(2, random_state=0, alpha=0.01),
    NeighborhoodComponentsAnalysis(2, random_state=0, max_iter=5),
    PolynomialFeatures(1),
    SimpleImputer(),
    SparsePCA(2, random_state=0, alpha=0.01),
    SparseRandomProjection(5, random_state=0),
]
LINEAR_CLASSIFIERS = [
    LinearDiscriminantAnalysis(),
    OneVsRestClassifier(LogisticRegression()),
    Perceptron(),
    RidgeClassifierCV(),
    SGDClassifier(),
]
LINEAR_REGRESSORS = [
    ARDRegression(),
    BaggingRegressor(Ridge(), n_estimators=2, random_state=0),
    BayesianRidge(),
    DummyRegressor(),
    GaussianProcessRegressor(DotProduct(), optimizer=None, alpha=0.1),
    HuberRegressor(max_iter=1000),
    KernelRidge(),
    Lasso(0.01),
    LinearRegression(),
    LinearSVR(),
    PLSRegression(2),
    PLSRegression(2, scale=False),
    RANSACRegressor(Ridge(), min_samples=6, random_state=0),
    SVR(kernel="linear"),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    TweedieRegressor(power=0),
    VotingRegressor([("ridge", Ridge()), ("lasso", Lasso(0.01))]),
]
LINEAR_REGRESSORS_OF_SEVERAL_NUMBERS = [
    CCA(1),
    MultiOutputRegressor(Ridge()),
    MultiTaskElasticNet(0.01),
    PLSCanonical(2),
    PLSRegression(2),
    RegressorChain(Ridge()),
]


def with_targets(models, y):
    return [pytest.param(model, y, id=repr(model)) for model in models]


@pytest.mark.parametrize("step", OTHER_STEPS, ids=lambda step: type(step).__name__)
def test_any_affine_step_is_pulled_back(sets, step):
    model = make_pipeline(embedding(), step, LogisticRegression()).fit(sets, LABELS)
    check_sums(model, sets)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        *with_targets(LINEAR_CLASSIFIERS, LABELS),
        *with_targets([SVC(kernel="linear")], LABELS > 0),
        *with_targets([SGDOneClassSVM()], None),
        *with_targets(LINEAR_REGRESSORS, NUMBERS),
        *with_targets(LINEAR_REGRESSORS_OF_SEVERAL_NUMBERS, TWO_NUMBERS),
    ],
)
def test_any_linear_model_is_explained(sets, model, y):
    check_sums(make_pipeline(embedding(), StandardScaler(), model).fit(sets, y), sets)


def check_sums(model, X, atol=1e-9):
    parts = element_contributions(model, X)
    decide = getattr(model, "decision_function", None) or model.predict
    sums = np.array([part.sum(axis=0) for part in parts.contributions]) + parts.constant
    np.testing.assert_allclose(sums, decide(X).reshape(sums.shape), atol=atol)


def test_contributions_to_partial_least_squares_are_those_of_its_formula(sets):
    """`coef_` is that of elements that are centred, by an attribute that is private."""
    model = make_pipeline(embedding(), PLSRegression(2)).fit(sets, NUMBERS)
    (coef,) = model[-1].coef_.reshape(1, 4, 6)
    for elements, part in zip(sets, element_contributions(model, sets).contributions):
        psi, (plan,) = plain_match(model[0], elements)
        expected = 4 * np.einsum("is,ic,sc->i", plan, psi, coef)
        np.testing.assert_allclose(part[:, 0], expected, atol=1e-9)


@pytest.mark.parametrize("y", [LABELS, LABELS > 0])
def test_sparse_coefficients_are_those_of_the_dense_model(sets, y):
    """scikit-learn#7479: they can't be converted by numpy.asarray."""
    model = make_pipeline(embedding(), StandardScaler(), LogisticRegression()).fit(sets, y)
    dense = element_contributions(model, sets)
    model[-1].sparsify()
    sparse = element_contributions(model, sets)
    np.testing.assert_allclose(sparse.constant, dense.constant, rtol=1e-9)
    for part, other in zip(sparse.contributions, dense.contributions):
        np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)


def test_steps_are_evaluated_in_batches(sets, monkeypatch):
    model = make_pipeline(embedding(), FastICA(3, random_state=0), Ridge())
    model.fit(sets, NUMBERS)
    expected = element_contributions(model, sets)
    monkeypatch.setattr(
        "otk_sklearn.inspection._affine_steps.chunk_rows", lambda n_features: 7
    )
    found = element_contributions(model, sets)
    for part, other in zip(found.contributions, expected.contributions):
        np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [PoissonRegressor()],
            "predict of step 'poissonregressor' .* is no affine",
        ),
        ([SVC(kernel="linear")], "decision_function of step 'svc' .* is no affine"),
        ([SVC()], "decision_function of step 'svc' .* is no affine"),
        ([KNeighborsRegressor()], "predict of step 'kneighborsregressor' .* is no affine"),
        (
            [StandardScaler(), QuantileTransformer(n_quantiles=5), PCA(2), Ridge()],
            "transform of step 'quantiletransformer' .* is no affine",
        ),
        (
            [MinMaxScaler(clip=True), Ridge()],
            r"transform of step 'minmaxscaler' \(MinMaxScaler\) is no affine",
        ),
        (
            [FunctionTransformer(np.abs), Ridge()],
            "transform of step 'functiontransformer' .* is no affine function .* expected "
            "scalers, PCA, feature selection and other affine steps",
        ),
        (
            [MinMaxScaler((1, 2)), PowerTransformer("box-cox"), Ridge()],
            "'powertransformer'",
        ),
        ([MinMaxScaler(), NMF(2, max_iter=2000), Ridge()], "'nmf' .* is no affine"),
        ([Normalizer(), Ridge()], "'normalizer' .* is no affine"),
        ([PolynomialFeatures(2), Ridge()], "'polynomialfeatures' .* is no affine"),
        ([GaussianNB()], r"step 'gaussiannb' \(GaussianNB\) is no regressor, and has no d"),
        (["passthrough"], r"step 'otkembedding' \(OTKEmbedding\) is no regressor, and has"),
    ],
)
def test_what_is_not_linear_is_named(sets, steps, message):
    X = sets * 2
    y = np.arange(len(X)) % 4
    model = make_pipeline(embedding(), *steps).fit(X, y)
    with pytest.raises(ValueError, match=message):
        element_contributions(model, X)


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
def test_a_step_whose_output_is_rounding_errors_is_named(sets):
    """12 sets have 11 components with some variance."""
    model = make_pipeline(embedding(), FastICA(12, random_state=0), Ridge())
    model.fit(sets, NUMBERS)
    message = r"'fastica' \(FastICA\) magnifies rounding errors .* expected fewer of them"
    with pytest.raises(ValueError, match=message):
        element_contributions(model, sets)


def test_steps_that_change_the_number_of_elements_are_named(sets):
    first = FunctionTransformer(lambda X: [elements[:1] for elements in X])
    model = make_pipeline(first, embedding()).fit(sets)
    with pytest.raises(ValueError, match=r"'functiontransformer' .* changes how many"):
        element_plans(model, sets)


def test_models_without_embedding_and_unfitted_ones_are_told_apart(sets):
    with pytest.raises(NotFittedError):
        element_plans(embedding(), sets)
    with pytest.raises(NotFittedError):
        element_contributions(make_pipeline(embedding(), Ridge()), sets)
    with pytest.raises(NotFittedError):
        element_plans(GridSearchCV(embedding(), {}), sets)
    ridge = Ridge().fit(np.eye(3), [1, 2, 3])
    with pytest.raises(
        ValueError, match="estimator is Pipeline, with .*'ridge'.* KernelMeanEmbedding, OTK"
    ):
        element_contributions(make_pipeline(StandardScaler(), ridge), sets)
    fitted = embedding().fit(sets)
    for wrong in [0, 2.5, "5"]:
        with pytest.raises(ValueError, match=rf"n_elements is {wrong!r}; expected an int"):
            nearest_elements(fitted, sets, wrong)
    with pytest.raises(ValueError, match="X has 2 features"):
        element_plans(fitted, make_sets(n_features=2))


@pytest.mark.parametrize(
    "first", [FunctionTransformer(), MinMaxScaler(), StandardScaler(with_mean=False)]
)
def test_steps_in_front_of_centring_change_no_contribution(sets, first):
    head = StandardScaler(), LogisticRegression()
    plain = make_pipeline(embedding(), *head).fit(sets, LABELS)
    other = make_pipeline(embedding(), first, *map(clone, head)).fit(sets, LABELS)
    of_plain, of_other = (element_contributions(m, sets) for m in (plain, other))
    np.testing.assert_allclose(of_other.constant, of_plain.constant, atol=1e-6)
    for given, expected in zip(of_other.contributions, of_plain.contributions):
        np.testing.assert_allclose(given, expected, atol=1e-6)


def test_what_is_found_of_elements_goes_back_to_their_table(sets):
    """Row by row, whatever the order of the table."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), [len(x) for x in sets])
    order = random.permutation(len(groups))
    X = SetCollection.from_groups(np.concatenate(sets)[order], groups[order])
    y = LABELS[X.names]
    model = make_pipeline(embedding(), LogisticRegression()).fit(X, y)
    of_rows = X.to_rows(element_contributions(model, X).contributions)
    plans = X.to_rows([plan[0] for plan in element_plans(model, X)])
    for i, name in enumerate(X.names):
        elements = groups[order] == name
        part = element_contributions(model, X[i : i + 1]).contributions[0]
        np.testing.assert_allclose(of_rows[elements], part, atol=1e-12)
        plan = model[0].transport_plan(X[i : i + 1])[0][0]
        np.testing.assert_allclose(plans[elements], plan, atol=1e-12)


def test_empty_sets_have_no_elements_to_inspect(sets):
    """And those of other sets are what they are without the empty one."""
    with_empty = [*sets[:4], np.empty((0, 4)), *sets[4:]]
    model = make_pipeline(embedding(n_references=2, empty_sets="zero"), Ridge())
    model.fit(sets, NUMBERS)
    parts = element_contributions(model, with_empty)
    assert parts.contributions[4].shape == (0, 1)
    np.testing.assert_allclose(model.predict(with_empty)[4], parts.constant[0])
    plans = element_plans(model, with_empty)
    assert plans[4].shape == (2, 0, 4)
    np.testing.assert_allclose(plans[5], element_plans(model, sets)[4], atol=1e-12)
    nearest = nearest_elements(model, with_empty)
    assert not (nearest.set_index == 4).any()
    score = permutation_importance(model, with_empty, [*NUMBERS, 0.0], random_state=0)
    assert score.importances.shape == (4, 5)
