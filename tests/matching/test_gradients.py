"""Gradients: differences of a plain NumPy version, and automatic differentiation."""

import functools
import operator
from dataclasses import dataclass, field, replace

import joblib
import numpy as np
import pytest
import sklearn
from helpers import plain_features, plain_filter, plain_plan, plain_windows
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import inv, sqrtm

from otk_sklearn import SetCollection
from otk_sklearn._compiled import implicit_gradient, pooling
from otk_sklearn.features._differentiable_feature_map import DifferentiableFeatureMap
from otk_sklearn.features._feature_map import inverse_root
from otk_sklearn.matching._differentiable_matching import DifferentiableMatching
from otk_sklearn.matching._embedding_state import EmbeddingState
from otk_sklearn.sets._positions import PositionFilter
from otk_sklearn.sets._windows import windows_of
from otk_sklearn.transport._problem import Transport

KERNELS = ["rbf", "homogeneous", "linear"]
RELAXED, SUPPORTS_RELAXED = {"relaxation": 0.5}, {"support_relaxation": 0.5}
PENALTIES = [{}, RELAXED, SUPPORTS_RELAXED]
SOLVERS = [*(("sinkhorn", penalty) for penalty in PENALTIES), ("softmax", {}), ("emd", {})]
POSITIONS = [None, "gaussian", "hard"]
FILTERS = [(1, "same"), (2, "same"), (3, "valid")]
DAMPING = 1e-2
STEP = 1e-4


@dataclass(frozen=True)
class Problem:
    """A scalar function of embeddings, `sum(linear Phi + quadratic Phi^2 / 2)`.

    `variables` holds the arrays to take gradients with respect to, by name. Elements are
    those that matching sees: windows where `filter_size` is more than 1.
    """

    kernel: str
    transport: Transport
    sets: SetCollection
    masses: np.ndarray
    position_weights: np.ndarray
    position_filter: PositionFilter | None
    linear: np.ndarray
    quadratic: np.ndarray
    variables: dict = field(repr=False)

    @property
    def members(self):
        """1 where an element is of a set, of shape (n_sets, n_elements)."""
        return np.repeat(np.eye(len(self.sets)), self.sets.lengths, axis=1)

    def with_variables(self, **variables):
        """The same with other variables, which may be elements only without windows."""
        sets = self.sets
        if "elements" in variables:
            sets = sets.with_values(variables["elements"])
        return replace(self, sets=sets, variables={**self.variables, **variables})


def make_problem(
    kernel="rbf",
    solver="sinkhorn",
    penalty=None,
    *,
    position=None,
    sigma=0.4,
    filter_size=1,
    padding="same",
    weighted=False,
    epsilon=0.5,
    lengths=(1, 4, 7, 3),
    n_supports=4,
    n_components=5,
    max_iter=500,
):
    """Two references, and sets of which the first has one element."""
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 3)) for n in lengths]
    weights = [rng.uniform(0.2, 1, n) if weighted else np.ones(n) for n in lengths]
    if weighted:
        weights[1][2] = 0
    sets = SetCollection.from_sets(rows, weights=weights if weighted else None)
    elements, masses, lines = plain_elements(rows, weights, filter_size, padding)
    variables = make_variables(kernel, n_supports, n_components, elements, rng)
    position_weights, position_filter = np.ones((1, n_supports)), None
    if position is not None:
        supports = [[j / n_supports] for j in range(n_supports)]
        position_weights = plain_filter(position, sigma, lines, supports)
        position_filter = PositionFilter(position, sigma, n_supports, n_axes=1)
    shape = len(sets), *variables["references"].shape
    return Problem(
        kernel,
        Transport(
            solver,
            epsilon,
            max_iter=max_iter,
            tol=0.0,
            **{"relaxation": None, **(penalty or {})},
        ),
        windows_of(sets, filter_size, padding),
        masses,
        position_weights,
        position_filter,
        rng.normal(size=shape),
        rng.normal(size=shape),
        variables,
    )


def plain_elements(rows, weights, filter_size, padding):
    """Windows of all sets, their masses, and their positions on a line."""
    elements, masses, lines = [], [], []
    for x, w in zip(rows, weights):
        windows, real = plain_windows(x, filter_size, padding)
        mass = np.array([np.mean(w[taken]) for taken in real])
        elements.append(windows)
        masses.append(mass / mass.sum())
        lines += [[i / len(windows)] for i in range(len(windows))]
    return np.concatenate(elements), np.concatenate(masses), lines


def make_variables(kernel, n_supports, n_components, elements, rng):
    n_features = elements.shape[1]
    if kernel == "linear":
        n_components = n_features
    references = unit(rng.normal(size=(2, n_supports, n_components)))
    variables = {"references": references, "elements": elements}
    if kernel != "linear":
        variables["anchors"] = rng.normal(size=(n_components, n_features))
        variables["log_gamma"] = np.array(np.log(0.3))
    return variables


def unit(rows):
    return rows / (rows**2).sum(-1, keepdims=True) ** 0.5


def kappa_of(kernel, gamma, anchors, elements, xp=np):
    """Kernel between elements and anchors, which may have leading axes."""
    gamma = gamma[..., None, None]
    if kernel == "homogeneous":
        norms = (elements**2).sum(-1, keepdims=True) ** 0.5
        cosines = unit(elements) @ unit(anchors).swapaxes(-1, -2)
        return norms * xp.exp(2 * gamma * (cosines - 1))
    differences = elements[..., :, None, :] - anchors[..., None, :, :]
    return xp.exp(-gamma * (differences**2).sum(-1))


def features_of(kernel, variables, xp=np):
    """Features of all elements."""
    elements = variables["elements"]
    if kernel == "linear":
        return elements
    anchors, gamma = variables["anchors"], xp.exp(variables["log_gamma"])
    if kernel == "homogeneous":
        anchors = unit(anchors)
    eigenvalues, U = xp.linalg.eigh(kappa_of(kernel, gamma, anchors, anchors, xp))
    scale = 1 / (eigenvalues**0.5 + DAMPING)
    normalization = (U * scale[..., None, :]) @ U.swapaxes(-1, -2)
    return kappa_of(kernel, gamma, anchors, elements, xp) @ normalization


def powers_of(transport):
    """1 where marginals are fixed, 0 where they are free, in between for a penalty."""
    if transport.solver == "softmax":
        return 0.0, 1.0
    relaxations = transport.relaxation, transport.support_relaxation
    return tuple(1.0 if r is None else r / (r + transport.epsilon) for r in relaxations)


def plans_of(problem, similarities, xp=np):
    """Plans of all sets at once, of shape (..., reference, element, support)."""
    transport = problem.transport
    members, masses = problem.members, xp.asarray(problem.masses[:, None])
    together = xp.asarray(members.T @ members)  # 1 where two elements are of one set
    kernel = xp.exp(similarities / transport.epsilon)
    power, support_power = powers_of(transport)
    v = 1.0
    for _ in range(transport.max_iter if power else 1):
        u = (kernel * v).mean(-1, keepdims=True) ** -power
        v = (together @ (masses * u * kernel)) ** -support_power
    if support_power < 1:  # rows are exact
        u = 1 / (kernel * v).mean(-1, keepdims=True)
    return masses * u * kernel * v / kernel.shape[-1]


def embeddings_of(problem, variables, xp=np, plan=None):
    """Embeddings, of shape (..., set, reference, support, component).

    A plan with its position filter applied may be given as a constant.
    """
    psi, references = features_of(problem.kernel, variables, xp), variables["references"]
    if plan is None:
        position_weights = xp.asarray(problem.position_weights)
        similarities = position_weights * xp.einsum("...ic,...qjc->...qij", psi, references)
        if problem.transport.relaxation is not None:
            similarities = similarities - (psi**2).sum(-1)[..., None, :, None] / 2
        plan = position_weights * plans_of(problem, similarities, xp)
    else:
        plan = xp.asarray(plan)
    members = xp.asarray(problem.members)
    pooled = xp.einsum("si,...qij,...ic->...sqjc", members, plan, psi)
    return references.shape[-2] * pooled


def loss_of(problem, variables, xp=np, plan=None):
    """The scalar function, of as many leading axes as one of the variables has."""
    embeddings = embeddings_of(problem, variables, xp, plan)
    linear, quadratic = xp.asarray(problem.linear), xp.asarray(problem.quadratic)
    loss = linear * embeddings + quadratic * embeddings**2 / 2
    return loss.sum((-4, -3, -2, -1))


def make_matching(problem, dtype=np.float64, n_jobs=None):
    anchors, gamma = problem.variables.get("anchors"), None
    if anchors is not None:
        gamma = float(np.exp(problem.variables["log_gamma"]))
        anchors = unit(anchors) if problem.kernel == "homogeneous" else anchors
    feature_map = DifferentiableFeatureMap(problem.kernel, gamma, anchors, DAMPING)
    state = EmbeddingState(
        feature_map.feature_map,
        problem.variables["references"],
        problem.transport,
        position_filter=problem.position_filter,
        n_jobs=n_jobs,
    )
    return feature_map, DifferentiableMatching(state, dtype, trains_kernel=True)


def gradients_of(problem, dtype=np.float64, n_jobs=None, in_chunks=True):
    """The package's gradients, by the name of the variable."""
    feature_map, matching = make_matching(problem, dtype, n_jobs)
    sets = problem.sets.astype(dtype)
    elements = np.full(problem.variables["elements"].shape, np.nan, dtype)

    def take(part):
        def gradient_of(embeddings):
            shaped = embeddings.reshape(problem.linear[part].shape)
            slopes = problem.linear[part] + problem.quadratic[part] * shaped
            return slopes.reshape(embeddings.shape)

        rows = slice(sets.offsets[part.start], sets.offsets[part.stop])
        return matching.gradients(sets[part], gradient_of, elements[rows])

    sums = matching.map(take, sets) if in_chunks else [take(slice(0, len(sets)))]
    summed = functools.reduce(operator.add, sums)
    references = problem.variables["references"]
    found = feature_map.pull_back(summed, references, trains_kernel=True)
    gradients = dict(zip(["references", "anchors", "log_gamma"], found))
    gradients["elements"] = elements
    if problem.kernel == "homogeneous":  # a function of the anchors' directions only
        anchors, gradient = problem.variables["anchors"], gradients["anchors"]
        across = gradient - unit(anchors) * (unit(anchors) * gradient).sum(1, keepdims=True)
        norms = np.linalg.norm(anchors, axis=1, keepdims=True)
        gradients["anchors"] = across / norms
    return gradients


def exact_plan(problem):
    """The plan that gradients take for constant, or None.

    It is the package's: where a hard filter makes similarities 0, there are several.
    """
    if problem.transport.solver != "emd":
        return None
    _, matching = make_matching(problem)
    return matching.plans(problem.sets).plan.swapaxes(1, 2).copy()


def differences(function, point, directions):
    """Derivatives along directions, by central differences of fourth order.

    `function` is called once, with all points that it is wanted at.
    """
    steps = STEP * np.array([1, -1, 2, -2]).reshape(-1, *[1] * directions.ndim)
    moved = (point + steps * directions).reshape(-1, *point.shape)
    forth, back, far_forth, far_back = function(moved).reshape(4, -1)
    return (8 * (forth - back) - (far_forth - far_back)) / (12 * STEP)


def slopes_along(problem, name, directions):
    """Derivatives of the plain version along directions of a variable."""
    plan = exact_plan(problem)

    def function(moved):
        losses = loss_of(problem, {**problem.variables, name: moved}, plan=plan)
        # Constant plans leave nothing that depends on references.
        return np.broadcast_to(losses, len(moved))

    return differences(function, problem.variables[name], directions)


def directions_of(variable, n_directions=None):
    """Random directions; without their number, those of all coordinates."""
    if n_directions is None:
        return np.eye(variable.size).reshape(-1, *variable.shape)
    return np.random.default_rng(1).normal(size=(n_directions, *variable.shape))


def assert_close(actual, expected, tolerance):
    """Largest difference, relative to the largest value; 0 has to be met exactly."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_derivatives(problem, n_directions=None):
    gradients = gradients_of(problem)
    for name, variable in problem.variables.items():
        directions = directions_of(variable, n_directions)
        axes = tuple(range(1, directions.ndim))
        actual = (gradients[name] * directions).sum(axis=axes)
        assert_close(actual, slopes_along(problem, name, directions), 1e-6)


@pytest.mark.parametrize(("solver", "penalty"), SOLVERS[:4])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_plain_version_is_the_definition(kernel, solver, penalty):
    problem = make_problem(kernel, solver, penalty, position="gaussian", weighted=True)
    variables, transport = problem.variables, problem.transport
    anchors = variables.get("anchors")
    gamma = np.exp(variables.get("log_gamma", 0.0))
    if kernel == "homogeneous":
        anchors = unit(anchors)
    psi = plain_features(kernel, gamma, anchors, DAMPING, variables["elements"])
    embeddings = embeddings_of(problem, variables)
    for s, member in enumerate(problem.members.astype(bool)):
        position_weights = problem.position_weights[member]
        for r, reference in enumerate(variables["references"]):
            similarities = position_weights * (psi[member] @ reference.T)
            if "relaxation" in penalty:
                similarities -= np.sum(psi[member] ** 2, axis=1, keepdims=True) / 2
            plan = plain_plan(
                similarities,
                problem.masses[member],
                solver=solver,
                epsilon=transport.epsilon,
                max_iter=transport.max_iter,
                **penalty,
            )
            expected = len(reference) * (position_weights * plan).T @ psi[member]
            assert_allclose(embeddings[s, r], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    (("solver", "penalty"), SOLVERS),
    ("position", POSITIONS),
    (("filter_size", "padding"), FILTERS),
    ("weighted", [False, True]),
)
def test_gradients_are_slopes(
    kernel, solver, penalty, position, filter_size, padding, weighted
):
    problem = make_problem(
        kernel,
        solver,
        penalty,
        position=position,
        filter_size=filter_size,
        padding=padding,
        weighted=weighted,
    )
    assert_derivatives(problem, n_directions=3)


@pytest.mark.parametrize(("solver", "penalty"), SOLVERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_coordinate_is_right(kernel, solver, penalty):
    assert_derivatives(
        make_problem(kernel, solver, penalty, position="gaussian", weighted=True)
    )


def with_coincidences(problem):
    """Supports that repeat, elements that repeat, and elements that are anchors."""
    references, elements = (
        problem.variables[name].copy() for name in ["references", "elements"]
    )
    references[:, 1] = references[:, 0]
    elements[3] = elements[2]
    elements[10] = elements[1]
    if problem.kernel != "linear":
        elements[5], elements[12] = problem.variables["anchors"][:2]
    return problem.with_variables(references=references, elements=elements)


@pytest.mark.parametrize(("solver", "penalty"), SOLVERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_coincidences_are_no_exception(kernel, solver, penalty):
    problem = make_problem(kernel, solver, penalty)
    assert_derivatives(with_coincidences(problem), n_directions=3)


@pytest.mark.parametrize(
    "penalty", [*PENALTIES, {"relaxation": 0.001}, {"support_relaxation": 0.001}]
)
@pytest.mark.parametrize("kernel", ["rbf", "homogeneous"])
def test_sharp_plans_are_no_exception(kernel, penalty):
    problem = make_problem(kernel, "sinkhorn", penalty, epsilon=0.1, max_iter=3000)
    assert_derivatives(problem, n_directions=3)


@pytest.mark.pairwise(
    ("kernel", ["rbf", "homogeneous"]),
    ("penalty", PENALTIES),
    ("n_components", [30, 60]),
)
def test_nearly_singular_grams_are_no_exception(kernel, penalty, n_components):
    """Whitening multiplies by 100 where eigenvalues are nearly 0."""
    problem = make_problem(kernel, "sinkhorn", penalty, n_components=n_components)
    assert_derivatives(problem, n_directions=3)
    expected, gradients = gradients_of(problem), gradients_of(problem, np.float32)
    for name in problem.variables:
        assert_close(gradients[name], expected[name], 3e-3)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    (("solver", "penalty"), SOLVERS),
    ("position", POSITIONS),
    (("filter_size", "padding"), FILTERS[:2]),
)
def test_automatic_differentiation_agrees(
    kernel, solver, penalty, position, filter_size, padding
):
    torch = pytest.importorskip("torch")
    problem = make_problem(
        kernel,
        solver,
        penalty,
        position=position,
        filter_size=filter_size,
        padding=padding,
        weighted=True,
    )
    tensors = {
        name: torch.tensor(variable, requires_grad=True)
        for name, variable in problem.variables.items()
    }
    loss_of(problem, tensors, torch, exact_plan(problem)).backward()
    gradients = gradients_of(problem)
    for name, tensor in tensors.items():
        grad = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        assert_close(gradients[name], grad.numpy(), 1e-6)


def test_the_linear_kernel_has_no_gradient_of_its_own():
    gradients = gradients_of(make_problem("linear"))
    assert gradients["anchors"] is None
    assert gradients["log_gamma"] is None


@pytest.mark.parametrize("kernel", KERNELS)
def test_references_may_be_all_that_is_trained(kernel):
    problem = make_problem(kernel)
    expected = gradients_of(problem)["references"]
    feature_map, _ = make_matching(problem)
    references = problem.variables["references"]
    state = EmbeddingState(feature_map.feature_map, references, problem.transport)
    matching = DifferentiableMatching(state, np.float64, trains_kernel=False)
    linear, quadratic = (
        a.reshape(len(problem.sets), -1) for a in [problem.linear, problem.quadratic]
    )
    summed = matching.gradients(problem.sets, lambda Xt: linear + quadratic * Xt)
    found = feature_map.pull_back(summed, references, False)
    assert_close(found[0], expected, 1e-12)
    assert found[1:] == (None, None)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    (("solver", "penalty"), SOLVERS),
    ("filter_size", [1, 2]),
    ("n_jobs", [1, 2]),
)
def test_memory_and_threads_change_nothing(kernel, solver, penalty, filter_size, n_jobs):
    problem = make_problem(
        kernel,
        solver,
        penalty,
        position="gaussian",
        filter_size=filter_size,
        weighted=True,
        lengths=(1, 300, 5, 40, 2, 90),
        max_iter=50,
    )
    whole = gradients_of(problem)
    with sklearn.config_context(working_memory=0.01 * joblib.cpu_count()):
        _, matching = make_matching(problem)
        assert 10 < matching.max_rows < 90  # the longest sets are cut
        in_chunks = gradients_of(problem, n_jobs=n_jobs)
        in_blocks = gradients_of(problem, in_chunks=False)
    for name in problem.variables:
        assert_close(in_chunks[name], whole[name], 1e-10)
        assert_close(in_blocks[name], whole[name], 1e-10)


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    (("solver", "penalty"), SOLVERS),
    ("position", [None, "gaussian"]),
    ("weighted", [False, True]),
)
def test_single_precision_is_near(kernel, solver, penalty, position, weighted):
    problem = make_problem(kernel, solver, penalty, position=position, weighted=weighted)
    expected, gradients = gradients_of(problem), gradients_of(problem, np.float32)
    assert gradients["elements"].dtype == np.float32
    for name in problem.variables:
        assert_close(gradients[name], expected[name], 3e-3)


@pytest.mark.parametrize("solver", ["sinkhorn", "softmax"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_single_element_is_all_that_supports_can_get(kernel, solver):
    """Whatever the references are, its plan is the same: they have no gradient."""
    gradients = gradients_of(make_problem(kernel, solver, lengths=(1,)))
    assert_allclose(gradients["references"], 0, atol=1e-12)
    assert np.abs(gradients["elements"]).max() > 1e-3
    if kernel != "linear":
        assert np.abs(gradients["anchors"]).max() > 1e-3
        assert np.abs(gradients["log_gamma"]) > 1e-3


@pytest.mark.parametrize(("solver", "penalty"), SOLVERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_elements_without_weight_have_no_gradient(kernel, solver, penalty):
    problem = make_problem(kernel, solver, penalty, weighted=True)
    assert problem.masses[3] == 0
    assert_array_equal(gradients_of(problem)["elements"][3], 0)


def unchanged(problem, _):
    return problem


def with_far_elements(problem, dtype):
    """One that is alone in its set, and one in each of two sets of more."""
    elements = problem.variables["elements"].copy()
    elements[[0, 2, 7]] *= 1e150 if dtype == np.float64 else 1e18
    return problem.with_variables(elements=elements)


def with_elements_out_of_range(problem, dtype):
    """Their squares are infinite; of the kernels, only rbf has small values there."""
    if problem.kernel != "rbf":
        return problem
    elements = problem.variables["elements"].copy()
    elements[[0, 2, 7]] *= 1e200 if dtype == np.float64 else 1e30
    return problem.with_variables(elements=elements)


def with_zero_elements(problem, _):
    elements = problem.variables["elements"].copy()
    elements[[0, 2]] = 0
    elements[5:12] = 0
    return problem.with_variables(elements=elements)


def with_double_anchors(problem, _):
    if problem.kernel == "linear":
        return problem
    anchors = problem.variables["anchors"].copy()
    anchors[1:3] = anchors[0]
    return problem.with_variables(anchors=anchors)


def with_coincidences_and_double_anchors(problem, dtype):
    return with_coincidences(with_double_anchors(problem, dtype))


CHANGES = [
    unchanged,
    with_far_elements,
    with_elements_out_of_range,
    with_zero_elements,
    with_double_anchors,
    with_coincidences_and_double_anchors,
]


@pytest.mark.pairwise(
    ("kernel", KERNELS),
    (("solver", "penalty"), SOLVERS),
    ("change", CHANGES),
    ("epsilon", [0.01, 0.5]),
    ("dtype", [np.float32, np.float64]),
)
def test_gradients_stay_finite(kernel, solver, penalty, change, epsilon, dtype):
    for position in POSITIONS:
        problem = make_problem(
            kernel,
            solver,
            penalty,
            # Two supports that no element of the last set reaches, and three in the first.
            position=position,
            sigma=0.1,
            lengths=(1, 4, 7, 2),
            weighted=True,
            epsilon=epsilon,
            max_iter=100,
        )
        # Squares of embeddings of far elements would leave the range of floats themselves.
        problem = replace(problem, quadratic=np.zeros_like(problem.quadratic))
        gradients = gradients_of(change(problem, dtype), dtype)
        for name in problem.variables:
            assert np.isfinite(gradients[name]).all(), (position, name)


def spd_matrix(eigenvalues):
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=[len(eigenvalues)] * 2))
    return basis * eigenvalues @ basis.T


def test_whitening_has_no_slope_between_eigenvalues_of_zero():
    root, pull_back = inverse_root(np.diag([0.0, -1e-30, 4.0]), 0.5)
    assert_allclose(root, np.diag([2, 2, 0.4]), rtol=1e-12)
    slopes = pull_back(np.ones((3, 3)))
    assert_allclose(slopes[:2, :2], 0, atol=0)
    # Of 1 / (sqrt(lambda) + 0.5): the derivative at 4, and the chord from 0 to 4.
    assert_allclose(slopes[2], [-0.4, -0.4, -1 / (2 * 2 * 2.5**2)], rtol=1e-12)


@pytest.mark.parametrize("damping", [0.0, 1e-2, 1.0])
@pytest.mark.parametrize(
    "eigenvalues",
    [[0.1, 0.5, 1, 2, 3], [0.5, 0.5, 2, 2, 2], [1, 1, 1, 1, 1], [1, 1 + 1e-9, 2, 3, 3]],
)
def test_whitening_is_differentiated(eigenvalues, damping):
    gram = spd_matrix(np.array(eigenvalues, float))
    gradient = np.random.default_rng(1).normal(size=gram.shape)
    damped = damping * np.eye(len(gram))

    def function(grams):
        roots = [inv(sqrtm(gram).real + damped) for gram in grams]
        return np.array([np.sum(gradient * root) for root in roots])

    root, pull_back = inverse_root(gram, damping)
    assert_allclose(np.sum(gradient * root), function([gram])[0], rtol=1e-10)
    pulled = pull_back(gradient)
    assert_allclose(pulled, pulled.T, atol=1e-12)
    directions = np.random.default_rng(2).normal(size=(5, *gram.shape))
    directions += directions.swapaxes(1, 2)
    expected = differences(function, gram, directions)
    assert_close(np.sum(pulled * directions, axis=(1, 2)), expected, 1e-6)


def dense_similarity_gradients(plan, slopes, powers, epsilon):
    """By a system of one unknown for each element and each support.

    Changes of similarities change the plan by `P (dS / epsilon + dalpha_i + dbeta_j)`.
    Its rows and columns must not change in balanced transport. In relaxed one,
    `log (P 1)_i` changes by `-dalpha_i epsilon / relaxation`, or columns do alike.
    """
    n = len(plan)
    system = np.block(
        [
            [np.diag(plan.sum(axis=1)) / powers[0], plan],
            [plan.T, np.diag(plan.sum(axis=0)) / powers[1]],
        ]
    )
    weighted = plan * slopes
    sums = np.concatenate([weighted.sum(axis=1), weighted.sum(axis=0)])
    unknowns = np.linalg.lstsq(system, sums, rcond=1e-12)[0]
    of_masses = np.sum(plan * (slopes - unknowns[n:]), axis=1)
    return plan * (slopes - unknowns[:n, None] - unknowns[n:]) / epsilon, of_masses


def similarity_gradients(plan, slopes, powers, epsilon, dtype=np.float64):
    """The package's, of one set and one reference."""
    gradients = np.array(slopes.T[np.newaxis], dtype)
    rounded = np.array(plan.T[np.newaxis], dtype)
    offsets = np.array([0, len(plan)])
    of_masses = np.empty((1, len(plan)))
    implicit_gradient.plans_to_similarities(
        rounded, offsets, powers, dtype(1 / epsilon), gradients, of_masses
    )
    return gradients[0].T


@pytest.mark.pairwise(
    ("lengths", [(1,), (6,), (1, 30, 3, 400)]),
    ("n_supports", [1, 2, 10]),
    ("powers", [(0.1, 1.0), (0.9, 1.0), (1.0, 1.0), (1.0, 0.1), (1.0, 0.9)]),
)
def test_the_reduced_system_is_the_dense_one(lengths, n_supports, powers):
    rng = np.random.default_rng(0)
    offsets, epsilon = np.concatenate([[0], np.cumsum(lengths)]), 0.3
    plan = rng.uniform(0.01, 1, (2, n_supports, offsets[-1])) ** 3
    plan[:, :, 3:5] = 0  # elements without mass
    gradients = rng.normal(size=plan.shape)
    expected = [
        [
            dense_similarity_gradients(
                plan[r, :, i:j].T, gradients[r, :, i:j].T, powers, epsilon
            )
            for i, j in zip(offsets, offsets[1:])
        ]
        for r in range(2)
    ]
    of_masses = np.empty((2, offsets[-1]))
    implicit_gradient.plans_to_similarities(
        plan, offsets, powers, 1 / epsilon, gradients, of_masses
    )
    for r in range(2):
        of_sets = np.vstack([of_set for of_set, _ in expected[r]])
        assert_allclose(gradients[r].T, of_sets, rtol=1e-7, atol=1e-9)
        for (_, masses), i, j in zip(expected[r], offsets, offsets[1:]):
            difference = of_masses[r, i:j] - masses
            # In balanced transport, potentials have a constant that is open.
            constant = powers == (1.0, 1.0) or j == i + 1
            scale = plan[r, :, i:j].sum(axis=0)
            difference -= constant * scale * (difference.sum() / scale.sum())
            assert_allclose(difference, 0, atol=1e-7)


@pytest.mark.pairwise(
    ("coupling", [0, 1e-30, 1e-16, 1e-14, 1e-12, 1e-10, 1e-7, 1e-4]),
    ("powers", [(0.9, 1.0), (1.0, 1.0), (1.0, 0.9)]),
    ("dtype", [np.float32, np.float64]),
)
def test_supports_may_share_next_to_nothing(coupling, powers, dtype):
    """What one block of a plan has to do with others is then lost in rounding."""
    rng = np.random.default_rng(0)
    plan = rng.uniform(0.1, 1, (12, 6))
    apart = np.arange(12)[:, None] % 3 != np.arange(6) % 3
    plan[apart] *= coupling
    slopes, epsilon = rng.normal(size=plan.shape), 0.01
    expected, _ = dense_similarity_gradients(plan, slopes, powers, epsilon)
    gradients = similarity_gradients(plan, slopes, powers, epsilon, dtype)
    assert_close(gradients, expected, 1e-4 if dtype == np.float32 else 1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_a_plan_that_is_all_but_decided_has_no_gradient(dtype, tolerance):
    """A plan as of standard normal elements with the linear kernel and epsilon=0.01."""
    plan = np.array(
        [
            [2.50e-01, 4.00e-14, 4.45e-05, 1.27e-12],
            [1.42e-30, 2.50e-01, 0, 0],
            [5.57e-30, 0, 2.50e-01, 1.27e-05],
            [0, 0, 3.55e-13, 2.50e-01],
        ]
    )
    slopes, epsilon = 10 * np.random.default_rng(0).normal(size=plan.shape), 0.01
    expected, _ = dense_similarity_gradients(plan, slopes, (1.0, 1.0), epsilon)
    gradients = similarity_gradients(plan, slopes, (1.0, 1.0), epsilon, dtype)
    # What cancels is as large as this.
    largest = np.abs(plan * slopes).max() / epsilon
    assert_allclose(gradients, expected, rtol=0, atol=tolerance * largest)


def test_attention_has_a_softmax_for_each_support():
    rng = np.random.default_rng(0)
    plan, gradients = rng.uniform(size=(2, 3, 7)), rng.normal(size=(2, 3, 7))
    offsets = np.array([0, 2, 7])
    expected = np.empty_like(plan)
    for i, j in zip(offsets, offsets[1:]):
        shares, slopes = plan[:, :, i:j], gradients[:, :, i:j]
        mean = np.average(slopes, axis=2, weights=shares)[:, :, None]
        expected[:, :, i:j] = shares * (slopes - mean) / 0.3
    of_masses = np.empty((2, 7))
    implicit_gradient.plans_to_similarities(
        plan, offsets, (0.0, 1.0), 1 / 0.3, gradients, of_masses
    )
    assert_allclose(gradients, expected, rtol=1e-12)
    # Masses and exponentials of similarities are factors of the same product.
    assert_allclose(of_masses, 0.3 * expected.sum(axis=1), atol=1e-12)


@pytest.mark.parametrize("n_components", [3, 200])
def test_pooling_goes_back(n_components):
    """The larger of the products are left to BLAS."""
    rng = np.random.default_rng(0)
    # A block of rows may hold none of a set.
    offsets = np.array([0, 0, 1, 90, 100, 100])
    plan = rng.normal(size=(8, 120))[:, 10:110]
    features, before = rng.normal(size=(2, 100, n_components))
    pooled = rng.normal(size=(5, 8, n_components))
    set_of = np.repeat(np.arange(5), np.diff(offsets))
    of_plan = np.empty((8, 120))[:, 10:110]
    pooling.pooling_to_plans(features, pooled, offsets, of_plan)
    expected = np.einsum("ic,ijc->ji", features, pooled[set_of])
    assert_allclose(of_plan, expected, rtol=1e-9, atol=1e-9)
    of_features = before.copy()
    pooling.pooling_to_features(plan, pooled, offsets, of_features)
    expected = before + np.einsum("ji,ijc->ic", plan, pooled[set_of])
    assert_allclose(of_features, expected, rtol=1e-9, atol=1e-9)
