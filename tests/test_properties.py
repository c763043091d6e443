"""Random sets and parameters across all that is legal, against plain NumPy and POT.

`make fuzz` runs the same for as long as you like.
"""

import pickle
import re
import warnings
from functools import partial

import numpy as np
import ot
import pytest
from helpers import gaussian_taps, subsampled
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracle import (
    Windows,
    assert_within,
    exponent_error,
    features_of,
    plan_of,
    problem_of,
    windows_of,
)
from scipy.linalg import LinAlgWarning
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import (
    MinMaxScaler,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from strategies import (
    BROKEN_SETS,
    broken_set,
    cases,
    embedding_params,
    illegal_params,
    layer_params,
    ragged_sets,
    seeds,
    supervised_params,
    with_absent_elements,
)

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    OTKRegressor,
    SetCollection,
    SetPooling,
    SlicedWassersteinEmbedding,
)

# What may be said of sets whose embeddings no float can hold.
OUT_OF_RANGE = r"leaves? the range of float(32|64) .*expected elements on a smaller scale"


def quietly(function, *args, heard=None):
    """Call it; ignore the warnings that users may get, and make errors of all others.

    Those of convergence are added to the list `heard`.
    """
    with warnings.catch_warnings(record=heard is not None) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("ignore" if heard is None else "always", ConvergenceWarning)
        zeros = r"\d+ of \d+ sets of \w+ (end|start) with rows of zeros"
        positions = r"(\d+ positions lie|X has (no )?positions)"
        far = "The embeddings of .* sets are 0"
        for message in ["n_components=", "X is 2-D", positions, zeros, far]:
            warnings.filterwarnings("ignore", message)
        # Ridge's, of embeddings whose sizes are many orders apart.
        warnings.simplefilter("ignore", LinAlgWarning)
        warnings.filterwarnings("ignore", "Singular matrix")
        result = function(*args)
        if heard is not None:
            heard += [str(warning.message) for warning in caught]
        return result


def in_range(function, sets, *args, damping, filter_size, heard=None):
    """Call it with the sets; None if an error says that no float can hold the result."""
    try:
        return quietly(function, sets, *args, heard=heard)
    except ValueError as error:
        if not re.search(OUT_OF_RANGE, str(error).replace(";", " ")):
            raise
        limit = np.finfo(sets.dtype).max
        if args:  # targets, with which squares of embeddings are added up
            limit = np.sqrt(limit)
        values = sets.values if filter_size > 1 else sets.values[sets.masses > 0]
        assert np.abs(values).max() > 1e-9 * limit * min(1.0, damping)
        return None


def check_embedding(case):
    """Embeddings, plans and diagnostics are those of the formulas."""
    params, X, Y = case.make()
    model = OTKEmbedding(**params)
    settings = {"damping": model.damping, "filter_size": model.filter_size}
    if in_range(model.fit, X, **settings) is None:
        return
    assert np.isfinite(model.references_).all()
    heard = []
    plans = in_range(model.transport_plan, Y, **settings, heard=heard)
    embeddings = in_range(model.transform, Y, **settings)
    if plans is None:
        assert embeddings is None
        return
    diagnostics = model.sinkhorn_diagnostics(Y)
    check_warning(model, heard, diagnostics)
    with np.errstate(all="ignore"):  # beyond the range of floats, budgets end
        for i, plan in enumerate(plans):
            features = check_plans(model, Y, i, plan, diagnostics)
            if embeddings is not None:
                plan = plan[:, windows_of(model, Y, i).masses > 0]
                check_pooling(model, embeddings[i], plan, features, Y.dtype)


def check_warning(model, heard, diagnostics):
    """Users hear of sets that missed `tol`: once, how many they are and how far off."""
    missed = (diagnostics.residual > model.tol).any(axis=1).sum()
    if missed == 0 or model.tol == 0:
        assert heard == []
        return
    (message,) = heard
    assert f"for {missed} of {len(diagnostics.residual)} sets" in message
    assert f"largest residual {diagnostics.residual.max():.2g}" in message


def check_plans(model, sets, i, plans, diagnostics):
    """Check one set's plans, and return the `Features` of what has a positive mass."""
    windows = windows_of(model, sets, i)
    shape = len(model.references_), len(windows.elements), model.references_.shape[1]
    assert plans.shape == shape
    assert np.isfinite(plans).all()
    assert (plans >= 0).all()
    kept = windows.masses > 0
    assert (plans[:, ~kept] == 0).all()
    windows, plans = Windows(*(column[kept] for column in windows)), plans[:, kept]
    features = features_of(model, windows.elements, sets.dtype)
    for r, (plan, reference) in enumerate(zip(plans, model.references_)):
        problem = problem_of(model, features, reference, windows, sets.dtype)
        n_iter, residual = diagnostics.n_iter[i, r], diagnostics.residual[i, r]
        if model.solver == "emd":
            check_exact_plan(plan, problem)
            continue
        error = exponent_error(model, problem, n_iter, sets.dtype)
        if error is None:
            continue
        if model.solver == "sinkhorn":
            assert 1 <= n_iter <= model.max_iter
            # A plan with relaxed masses of elements may be a little worse than the one
            # before, which met `tol`.
            met = residual <= model.tol or model.relaxation is not None
            assert met or n_iter == model.max_iter
        is_plain = model.solver == "softmax" or model.tol == 0 or n_iter < 4
        if is_plain or model.relaxation is not None:
            check_plain_plan(model, plan, problem, n_iter, error)
        elif np.min(problem.position_weights) > 1e-3:
            unfiltered = (plan / problem.position_weights).astype(plan.dtype)
            relaxed = model.support_relaxation is not None
            check = check_plan_of_relaxed_supports if relaxed else check_balanced_plan
            check(model, unfiltered, problem, residual, error)
    return features


def check_exact_plan(plan, problem):
    """The plan has the marginals, and the cost of POT's best one."""
    if np.ndim(problem.position_weights):
        return  # the filter has been applied to it
    supports = np.full(plan.shape[1], 1 / plan.shape[1])
    assert_allclose(plan.sum(axis=1), problem.masses, rtol=0, atol=1e-6)
    assert_allclose(plan.sum(axis=0), supports, rtol=1e-5)
    cost = problem.similarities.max(axis=1, keepdims=True) - problem.similarities
    if not problem.error.max() < 0.1 * cost.max() < np.inf:
        return
    budget = 1e-5 + 2 * problem.error.max() / cost.max()
    cost /= cost.max()
    assert np.sum(plan * cost) <= ot.emd2(problem.masses, supports, cost) + budget


def check_plain_plan(model, plan, problem, n_iter, error):
    """The plan is that of as many plain iterations, in logarithms."""
    expected = problem.position_weights * plan_of(model, problem, n_iter)
    if model.position is not None:
        in_filter = np.log1p(1 / problem.position_weights) + model.position_sigma**-2
        error = error + 20 * np.finfo(plan.dtype).eps * in_filter
    budget = expected * error
    relaxed = (model.relaxation, model.support_relaxation) != (None, None)
    if model.solver == "softmax" or relaxed:
        # Where masses are given up or not taken, factors that are denormal lose digits.
        tiny = np.finfo(plan.dtype).tiny / problem.masses[problem.masses > 0].min()
        budget += max(tiny, 1e-250)
    assert_within(budget, plan, expected, "plain plan")


def check_balanced_plan(model, plan, problem, residual, error):
    """A plan with these marginals is the best of all if it is `a_i u_i K_ij v_j`."""
    unit = np.finfo(plan.dtype).eps
    missed = np.abs(plan.sum(axis=1) - problem.masses).sum()
    assert_allclose(residual, missed, rtol=1e-3, atol=50 * unit * np.sqrt(len(plan)))
    assert_allclose(plan.sum(axis=0), 1 / plan.shape[1], rtol=50 * unit + error)
    check_form(model, plan, problem, error)


def check_plan_of_relaxed_supports(model, plan, problem, residual, error):
    """As above, and supports have the masses that its scalings `v_j` are optimal for."""
    unit = np.finfo(plan.dtype).eps
    assert_allclose(plan.sum(axis=1), problem.masses, rtol=50 * unit + error, atol=1e-30)
    log_w = check_form(model, plan, problem, error)
    if log_w is None:
        return
    power = model.support_relaxation / (model.support_relaxation + model.epsilon)
    log_columns = np.log(plan.sum(axis=0, dtype=np.float64))
    implied = softmax((1 - power) * log_w + power * log_columns)
    missed = np.abs(implied - 1 / plan.shape[1]).sum()
    atol = 50 * unit * np.sqrt(len(plan)) + 8 * error
    assert_allclose(residual, missed, rtol=1e-3, atol=atol)


def check_form(model, plan, problem, error):
    """A plan is `a_i u_i K_ij w_j`. Return log w up to a constant, or None if lost."""
    kept = problem.masses > 0
    if (plan[kept] < 1e3 * np.finfo(plan.dtype).tiny).any():
        return None  # some of its digits are lost
    logs = np.log(plan[kept] / problem.masses[kept, np.newaxis])
    rest = logs.astype(np.float64) - problem.similarities[kept] / model.epsilon
    rest -= rest.mean(axis=1, keepdims=True)
    log_w = rest.mean(axis=0)
    assert_within(4 * error, rest - log_w, 0.0, "form of the plan")
    return log_w


def check_pooling(model, embedding, plans, features, dtype):
    """Each support has the weighted mean of the features sent to it."""
    roundings = (50 + np.sqrt(plans.shape[1])) * np.finfo(dtype).eps
    embedding = embedding.reshape(model.references_.shape)
    for found, plan in zip(embedding, plans.astype(np.float64)):
        shares = plans.shape[2] * plan.T
        terms = shares @ np.abs(features.kappa) @ np.abs(features.D)
        budget = shares @ features.psi_error + roundings * terms
        expected = shares @ features.psi
        if not np.isfinite(
            expected
        ).all():  # features of elements overflow, not their means
            expected = shares @ features.kappa @ features.D
        assert_within(budget, found, expected, "embedding")


def check_consistency(case):
    """Sets alone, in another order, in other chunks, threads and containers."""
    params, X, Y = case.make()
    # Other parameters would make much of the last digit.
    params |= {"tol": 0.0, "max_iter": 5, "damping": 1e-2, "epsilon": 0.5}
    model = OTKEmbedding(**params)
    quietly(model.fit, X)
    out = quietly(model.transform, Y)
    scale = np.abs(out).max() + np.finfo(out.dtype).tiny
    close = {"rtol": 0, "atol": scale * (1e-3 if out.dtype == np.float32 else 1e-9)}
    assert_allclose(quietly(model.transform, Y[::-1]), out[::-1], **close)
    for i in range(len(Y)):
        assert_allclose(quietly(model.transform, Y[[i]])[0], out[i], **close)
    again = pickle.loads(pickle.dumps(model)).set_params(n_jobs=2)
    assert_array_equal(quietly(again.transform, Y), out)
    n_means = np.prod(model.references_.shape[:2])
    kernel = quietly(model.kernel_matrix, X, Y)
    expected = quietly(model.transform, X).astype(float) @ out.T.astype(float) / n_means
    atol = np.abs(expected).max() * 1e-4 + np.finfo(kernel.dtype).tiny
    assert_allclose(kernel, expected, rtol=0, atol=atol)
    if Y.weights is None and Y.positions is None:
        assert_array_equal(quietly(model.transform, list(Y)), out)


def check_layer(case):
    """Features of windows, averaged over neighbours, are those of the formulas."""
    params, X, Y = case.make()
    layer = ConvolutionalKernelLayer(**params)
    quietly(layer.fit, X)
    filter_size = max(layer.filter_size, layer.subsampling)
    settings = {"damping": layer.damping, "filter_size": filter_size}
    found = in_range(layer.transform, Y, **settings)
    if found is None:
        return
    subsampling = layer.subsampling, gaussian_taps(layer.subsampling)
    for i in range(len(Y)):
        windows = windows_of(layer, Y, i)
        rows = slice(*found.offsets[i : i + 2])
        masses = subsampled(windows.masses, *subsampling, True)
        if Y.weights is not None:
            assert_allclose(found.masses[rows], masses / masses.sum(), atol=1e-14)
        with np.errstate(all="ignore"):
            features = features_of(layer, windows.elements, Y.dtype)
            kappa, error = (subsampled(part, *subsampling, False) for part in features[:2])
            budget = error + 50 * np.finfo(Y.dtype).eps * kappa
            kept = masses > 0  # others may be 0 where no float can hold them
            budget, expected = budget @ np.abs(features.D), kappa @ features.D
            assert_within(budget[kept], found[i][kept], expected[kept], "layer")


def check_collection(ragged, seed):
    """A collection is the list of its sets, however it is made, taken apart and stored."""
    X, random = ragged.make(), np.random.default_rng(seed)
    columns = [X.values, X.weights, X.positions]
    spans = [slice(*X.offsets[i : i + 2]) for i in range(len(X))]
    parts = [[None if c is None else c[span] for c in columns] for span in spans]

    def assert_parts(sets, indices):
        assert isinstance(sets, SetCollection)
        assert len(sets) == sets.shape[0] == len(indices)
        for i, elements in zip(indices, sets):
            assert_array_equal(elements, parts[i][0])
        for k, column in enumerate([sets.values, sets.weights, sets.positions]):
            if columns[k] is None:
                assert column is None
            elif len(indices):
                assert_array_equal(column, np.concatenate([parts[i][k] for i in indices]))

    index = random.integers(-len(X), len(X), random.integers(0, 6))
    assert_parts(X[index], index)
    assert_parts(X[index.tolist()], index)
    cut = slice(*(int(c) for c in random.integers(-6, 7, 2)), random.choice([-2, -1, 1, 2]))
    assert_parts(X[cut], range(len(X))[cut])
    mask = random.random(len(X)) < 0.5
    assert_parts(X[mask], np.flatnonzero(mask))
    assert_parts(pickle.loads(pickle.dumps(X)), range(len(X)))
    values, weights, positions = zip(*parts)
    make = partial(
        SetCollection.from_sets,
        weights=None if X.weights is None else weights,
        positions=None if X.positions is None else positions,
    )
    made = quietly(make, values)
    assert_parts(made, range(len(X)))
    labels = np.repeat(random.permutation(len(X)), X.lengths)
    together = np.argsort(random.random(len(labels)), kind="stable")
    together = together[np.argsort(labels[together] != labels[together[0]], kind="stable")]
    rows = np.sort(together) if random.random() < 0.5 else together
    grouped = SetCollection.from_groups(X.values[rows], labels[rows])
    for label, elements in zip(dict.fromkeys(labels[rows]), grouped):
        assert_array_equal(elements, X.values[rows][labels[rows] == label])
    longest = X.lengths.max()
    padded = np.full((len(X), longest + random.integers(3), X.n_features), np.nan)
    for i, x in enumerate(X):
        padded[i, : len(x)] = x
    for arguments in [{}, {"lengths": X.lengths}, {"mask": ~np.isnan(padded[:, :, 0])}]:
        unpadded = quietly(partial(SetCollection.from_padded, **arguments), padded)
        assert_array_equal(unpadded.values, X.values)
        assert_array_equal(unpadded.offsets, X.offsets)
    masses = np.add.reduceat(X.masses, X.offsets[:-1])
    assert_allclose(masses, 1, rtol=1e-12)


def check_elements(case):
    """Any transformer of tables does to elements what it does to a table of them."""
    params, X, Y = case.make()
    table = params["transformer"]
    found = quietly(ElementTransformer(table).fit(X).transform, Y)
    expected = table.fit(X.values[X.masses > 0]).transform(Y.values)
    assert_array_equal(found.values, expected)
    assert_array_equal(found.offsets, Y.offsets)
    assert (found.weights is None) == (Y.weights is None)


def supervised(estimator, params):
    """An estimator; parameters that it has not itself are those of its embedding."""
    own = {name: params[name] for name in estimator._get_param_names() if name in params}
    rest = {name: params[name] for name in params if name not in own}
    return estimator(OTKEmbedding(**rest), **own)


def check_supervised(case):
    """Whatever training comes to: finite, in line with its parts, and repeatable."""
    params, X, Y = case.make()
    random = np.random.default_rng(params["random_state"])
    y = random.integers(0, random.integers(2, 4), len(X))
    y[:2] = [0, 1]
    for estimator in [OTKClassifier, OTKRegressor]:
        model = supervised(estimator, params)
        embedding = model.embedding
        settings = {"damping": embedding.damping, "filter_size": embedding.filter_size}
        if in_range(model.fit, X, y, **settings) is None:
            continue
        assert np.isfinite(model.loss_curve_).all()
        out = in_range(model.predict, Y, **settings)
        if out is None:
            continue
        embeddings = quietly(model.embedding_.transform, Y)
        assert_array_equal(quietly(model.transform, Y), embeddings)
        scores = np.squeeze(embeddings @ model.coef_.T + model.intercept_, axis=None)
        again = supervised(estimator, params)
        assert_array_equal(quietly(quietly(again.fit, X, y).predict, Y), out)
        if estimator is OTKRegressor:
            scale = np.abs(embeddings).max() * np.abs(model.coef_).sum()
            assert_allclose(out, scores.reshape(out.shape), rtol=1e-6, atol=1e-6 * scale)
            continue
        assert np.isin(out, y).all()
        proba = quietly(model.predict_proba, Y)
        assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
        second, first = np.sort(proba, axis=1)[:, -2:].T
        clear = first > second + 1e-6
        assert_array_equal(model.classes_[proba.argmax(axis=1)][clear], out[clear])


def absent_pairs(case, filter_size, seed):
    """The sets of a case, with and without elements of mass 0 among them."""
    params, *collections = case.make()
    if collections[0].positions is None and params.get("position"):
        params["position"] = None  # default positions count all elements
    random = np.random.default_rng(seed)
    n_added = random.integers(1, 6)
    return params, *(
        with_absent_elements(sets, n_added, filter_size, random)[:2] for sets in collections
    )


def check_absent(case, seed):
    """Elements of mass 0 change neither fits, not a bit of them, nor embeddings."""
    filter_size = case.params["filter_size"]
    params, (X, larger_X), (Y, larger_Y) = absent_pairs(case, filter_size, seed)
    # Other parameters would make much of the last digit.
    params |= {"tol": 0.0, "max_iter": 5, "damping": 1e-2, "epsilon": 0.5}
    names = KernelMeanEmbedding._get_param_names()
    embeddings = [
        OTKEmbedding(**params),
        KernelMeanEmbedding(**{name: params[name] for name in names if name in params}),
        SetPooling(["mean", "std", "min", "max"]),
    ]
    if filter_size == 1:
        embeddings.append(SlicedWassersteinEmbedding(3, n_quantiles=3, random_state=0))
    for model in embeddings:
        other = quietly(clone(model).fit, larger_X)
        quietly(model.fit, X)
        for name, value in vars(model).items():
            if name.endswith("_") and isinstance(value, (np.ndarray, float)):
                assert_array_equal(getattr(other, name), value)
        out, found = quietly(model.transform, Y), quietly(other.transform, larger_Y)
        atol = np.abs(out).max() * (1e-3 if out.dtype == np.float32 else 1e-9)
        assert_allclose(found, out, rtol=0, atol=atol)


def check_absent_in_training(case, seed):
    """Nor do they change what training makes of the sets."""
    params, (X, larger_X), (Y, larger_Y) = absent_pairs(
        case, case.params["filter_size"], seed
    )
    params |= {"epsilon": 0.5, "gamma": "median", "damping": 1e-2, "tol": 0.0}
    params |= {"learning_rate_init": 0.1, "max_epochs": 1, "alpha": 1.0}
    y = np.arange(len(X)) % 2
    for estimator in [OTKClassifier, OTKRegressor]:
        model, other = (supervised(estimator, params) for _ in range(2))
        quietly(model.fit, X, y)
        quietly(other.fit, larger_X, y)
        rtol = 1e-2 if X.dtype == np.float32 else 1e-5
        assert_allclose(other.loss_curve_, model.loss_curve_, rtol=rtol, atol=rtol)
        out, found = quietly(other.transform, Y), quietly(other.transform, larger_Y)
        atol = np.abs(out).max() * (1e-3 if out.dtype == np.float32 else 1e-9)
        assert_allclose(found, out, rtol=0, atol=atol)


def check_broken_sets(case, kind, seed):
    """What is no set is an error that names it, and leaves the estimator as it was."""
    params, X, _ = case.make()
    random, model = np.random.default_rng(seed), OTKEmbedding(**params)
    quietly(model.fit, X)
    before = pickle.dumps(vars(model))
    sets, i = list(X), random.integers(len(X))
    sets[i] = broken_set(kind, sets[i], random)
    for call in [model.fit, model.fit_transform, model.transform, model.transport_plan]:
        with pytest.raises(ValueError, match=BROKEN_SETS[kind].format(i)):
            quietly(call, sets)
    assert pickle.dumps(vars(model)) == before


def check_illegal_params(case, illegal):
    """What is no legal parameter is an error that names it."""
    params, X, _ = case.make()
    params["kernel"] = "rbf"  # the linear one ignores some
    name, value = illegal
    with pytest.raises((ValueError, TypeError), match=name):
        quietly(OTKEmbedding(**{**params, name: value}).fit, X)


given_params = embedding_params(learned=False)
ordinary = {"extreme": False}
transformers = st.sampled_from(
    [StandardScaler(), RobustScaler(), MinMaxScaler(), QuantileTransformer(n_quantiles=3)]
)
PROPERTIES = {
    check_embedding: [
        cases(embedding_params())
        | cases(given_params)
        | cases(embedding_params(**ordinary), **ordinary)
        | cases(embedding_params(learned=False, **ordinary), **ordinary)
    ],
    check_consistency: [cases(given_params, **ordinary)],
    check_layer: [cases(layer_params())],
    check_collection: [ragged_sets(max_sets=6), seeds],
    check_elements: [cases(st.builds(dict, transformer=transformers), **ordinary)],
    check_supervised: [cases(supervised_params(), max_sets=8)],
    check_absent: [
        cases(given_params, **ordinary) | cases(embedding_params(**ordinary), **ordinary),
        seeds,
    ],
    check_absent_in_training: [cases(supervised_params(), max_sets=8, **ordinary), seeds],
    check_broken_sets: [
        cases(given_params, **ordinary),
        st.sampled_from(sorted(BROKEN_SETS)),
        seeds,
    ],
    check_illegal_params: [cases(given_params, **ordinary), illegal_params],
}


@pytest.mark.slow
def test_a_set_of_a_million_elements_beside_one_of_one():
    """In float32, sums over them keep their digits."""
    random = np.random.default_rng(0)
    values = random.normal(size=(1_000_001, 3)).astype(np.float32)
    X = SetCollection(values, [0, 1, len(values)])
    model = OTKEmbedding(3, n_components=6, epsilon=0.2, tol=0, max_iter=5)
    model.set_params(max_elements=1000, random_state=0).fit(X)
    plans, embeddings = model.transport_plan(X), model.transform(X)
    for i in range(2):
        windows = windows_of(model, X, i)
        features = features_of(model, windows.elements, X.dtype)
        problem = problem_of(model, features, model.references_[0], windows, X.dtype)
        expected = plan_of(model, problem, 5)
        assert_within(1e-5 * expected, plans[i][0], expected, "plan of a million")
        check_pooling(model, embeddings[i], plans[i], features, X.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__)
def test_property(check):
    # Without deadlines: the first cases compile. Always the same cases: `make fuzz` draws
    # new ones.
    few = settings(max_examples=60, deadline=None, database=None, derandomize=True)
    few(given(st.tuples(*PROPERTIES[check]))(lambda case: check(*case)))()
