"""What hypothesis draws: sets of vectors and parameters, across all that is legal.

Elements come from a seed, so that a case can be drawn in no time and written in one line:
what fails is printed as that line.
"""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from otk_sklearn import SetCollection

KERNELS = ["rbf", "homogeneous", "linear"]
# Around the sizes of vectors and blocks; long sets now and then.
LENGTHS = [*(1, 2, 3, 4, 5, 7, 12, 15, 16, 17, 33, 40) * 3, 255, 256, 257, 600]
seeds = st.integers(0, 2**32 - 1)


def powers_of_ten(low, high):
    """Numbers whose logarithms are uniform, the ends and 1 more often than others."""
    return st.one_of(st.floats(low, high), st.sampled_from([low, 0.0, high])).map(
        lambda exponent: 10.0**exponent
    )


def _make_normal(random, n, d, limits):
    return random.normal(size=(n, d))


def _make_clusters(random, n, d, limits):
    centers = random.normal(size=(3, d)) * 10
    return centers[random.integers(3, size=n)] + 1e-3 * random.normal(size=(n, d))


def _make_equal(random, n, d, limits):
    return np.tile(random.normal(size=d), (n, 1))


def _make_constant_feature(random, n, d, limits):
    elements = random.normal(size=(n, d))
    elements[:, 0] = 3.0
    return elements


def _make_ties(random, n, d, limits):
    return random.integers(-1, 2, size=(n, d)).astype(np.float64)


def _make_far_away(random, n, d, limits):
    return 1e6 + random.normal(size=(n, d))


def _make_half_zero(random, n, d, limits):
    return random.normal(size=(n, d)) * (random.random((n, 1)) < 0.5)


def _make_zeros(random, n, d, limits):
    return np.zeros((n, d))


def _make_all_norms(random, n, d, limits):
    return random.normal(size=(n, d)) * 10.0 ** random.uniform(-30, 30, size=(n, 1))


def _make_denormal(random, n, d, limits):
    return random.integers(-9, 10, size=(n, d)) * limits.smallest_subnormal


def _make_at_the_limits(random, n, d, limits):
    return random.uniform(-1, 1, size=(n, d)) * limits.max


ELEMENTS = {
    "normal": _make_normal,
    "clusters": _make_clusters,
    "equal": _make_equal,
    "constant feature": _make_constant_feature,
    "ties": _make_ties,
    "far away": _make_far_away,
    "half zero": _make_half_zero,
    "zeros": _make_zeros,
    "all norms": _make_all_norms,
    "denormal": _make_denormal,
    "at the limits": _make_at_the_limits,
}
# What a scale would take out of the range of floats.
UNSCALED = {"all norms", "denormal", "at the limits"}

WEIGHTS = {
    "none": lambda random, n: None,
    "uniform": lambda random, n: random.uniform(0.1, 1, n),
    "12 orders": lambda random, n: 10.0 ** random.uniform(-12, 0, n),
    "half zero": lambda random, n: random.integers(0, 2, n).astype(float),
    "one": lambda random, n: np.eye(n)[random.integers(n)],
    "huge": lambda random, n: random.uniform(0.1, 1, n) * 1e300,
    "tiny": lambda random, n: random.uniform(0.1, 1, n) * 1e-300,
}


# Elements of weight 0, which are absent whatever they are.
ABSENT = {
    "as others": lambda random, shape, limits, values: values,
    "zero": lambda random, shape, limits, values: np.zeros(shape),
    "large": lambda random, shape, limits, values: (
        random.normal(size=shape) * 10.0 ** random.uniform(0, np.log10(limits.max) / 2)
    ),
    "at the limits": lambda random, shape, limits, values: (
        random.uniform(-1, 1, size=shape) * limits.max
    ),
}


@dataclass(frozen=True)
class RaggedSets:
    """Sets, written as what they are made from."""

    elements: str
    scale: float
    lengths: tuple
    n_features: int
    dtype: str
    weights: str
    n_axes: int | None
    seed: int
    absent: str = "as others"

    def make(self):
        """Return the `SetCollection`."""
        random = np.random.default_rng(self.seed)
        n = sum(self.lengths)
        limits = np.finfo(self.dtype)
        values = ELEMENTS[self.elements](random, n, self.n_features, limits)
        values = values if self.elements in UNSCALED else values * self.scale
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        weights = None
        if self.weights != "none":
            weights = np.concatenate(
                [WEIGHTS[self.weights](random, length) for length in self.lengths]
            )
            weights[offsets[:-1]] += (np.maximum.reduceat(weights, offsets[:-1]) == 0) * 1.0
        positions = None if self.n_axes is None else random.random((n, self.n_axes))
        if weights is not None:
            zero = weights == 0
            shape = np.count_nonzero(zero), self.n_features
            values[zero] = ABSENT[self.absent](random, shape, limits, values[zero])
        return SetCollection(
            values.astype(self.dtype), offsets, weights=weights, positions=positions
        )


def ragged_sets(n_features=None, min_sets=1, max_sets=4, extreme=True):
    """Strategy of `RaggedSets`."""
    few = st.integers(1, 5)
    kinds = ELEMENTS if extreme else ["normal", "clusters", "constant feature", "ties"]
    return st.builds(
        RaggedSets,
        elements=st.sampled_from(sorted(kinds)),
        scale=powers_of_ten(-30, 30) if extreme else st.just(1.0),
        lengths=st.lists(
            st.sampled_from(LENGTHS), min_size=min_sets, max_size=max_sets
        ).map(tuple),
        n_features=few if n_features is None else st.just(n_features),
        dtype=st.sampled_from(["float64", "float32"]),
        weights=st.sampled_from(sorted(WEIGHTS)),
        n_axes=st.sampled_from([None, None, 1, 2]),
        seed=seeds,
        absent=st.sampled_from(sorted(ABSENT)),
    )


@dataclass(frozen=True)
class Case:
    """Parameters of an estimator, sets to fit it to, and others to transform.

    Anchors and references that are "given" are made from `random_state`.
    """

    params: dict
    fitted: RaggedSets
    others: RaggedSets

    def make(self):
        """Return the parameters, and both `SetCollection`s."""
        params = dict(self.params)
        random = np.random.default_rng(params.get("random_state"))
        n_window = self.fitted.n_features * params.get("filter_size", 1)
        n_features = n_window if params.get("kernel") == "linear" else None
        if params.get("anchors") == "given":
            anchors = random.normal(size=(params["n_components"], n_window))
            params["anchors"] = anchors * self.fitted.scale
        if params.get("references") == "given":
            n_features = n_features or params["n_components"]
            shape = params["n_references"], params["n_supports"], n_features
            params["references"] = random.normal(size=shape)
        return params, self.fitted.make(), self.others.make()


@st.composite
def cases(draw, of_params, extreme=True, max_sets=4):
    """Strategy of `Case`: the sets have the same features and axes."""
    params = draw(of_params)
    fitted = draw(ragged_sets(min_sets=3, max_sets=max(3, max_sets), extreme=extreme))
    others = draw(ragged_sets(fitted.n_features, extreme=extreme))
    if params.get("position") and params["n_supports"] not in (1, 4, 9):
        fitted = replace(fitted, n_axes=1 if fitted.n_axes == 2 else fitted.n_axes)
    if not extreme and (params.get("filter_size", 1) > 1 or "transformer" in params):
        # Elements of mass 0 are parts of windows of positive mass, or of tables.
        fitted = replace(fitted, absent="as others")
        others = replace(others, absent="as others")
    return Case(params, fitted, replace(others, n_axes=fitted.n_axes))


@st.composite
def embedding_params(draw, learned=True, extreme=True):
    """Parameters of `OTKEmbedding` that are legal together.

    What isn't learned is given, and takes little time. Unless they are extreme, plans of
    ordinary elements are neither sharp nor flat.
    """
    epsilon, relaxation = powers_of_ten(-2.5, 0.5), powers_of_ten(-2, 1)
    gamma, position_sigma = powers_of_ten(-1, 1), powers_of_ten(-0.5, 0.5)
    damping = st.just(1e-2)
    if extreme:
        epsilon = relaxation = gamma = powers_of_ten(-6, 6)
        position_sigma, damping = powers_of_ten(-3, 1), damping | powers_of_ten(-9, 3)
    anchors, references = ["given"], ["given"]
    if learned:
        anchors, references = ["kmeans", "random"], ["kmeans", "barycenter", "random"]
    params = {
        "n_supports": draw(st.integers(1, 9)),
        "n_references": draw(st.sampled_from([1, 1, 2, 3])),
        "epsilon": draw(epsilon),
        "kernel": draw(st.sampled_from(KERNELS)),
        "gamma": draw(st.just("median") | gamma),
        "n_components": draw(st.integers(1, 12)),
        "damping": draw(damping),
        "filter_size": draw(st.sampled_from([1, 1, 2, 3, 5])),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "position": draw(st.sampled_from([None, None, "gaussian", "hard"])),
        "position_sigma": draw(position_sigma),
        "anchors": draw(st.sampled_from(anchors)),
        "references": draw(st.sampled_from(references)),
        "solver": draw(st.sampled_from(["sinkhorn", "sinkhorn", "emd", "softmax"])),
        "max_iter": draw(st.sampled_from([1, 2, 5, 30, 300, 3000])),
        "tol": draw(st.sampled_from([0.0, 0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0])),
        "max_elements": draw(st.sampled_from([3, 50, 300_000])),
        "n_jobs": draw(st.sampled_from([1, 1, 2])),
        "random_state": draw(seeds),
    }
    if params["solver"] == "sinkhorn":
        relaxed = draw(st.sampled_from([None, "relaxation", "support_relaxation"]))
        if relaxed is not None:
            params[relaxed] = draw(relaxation)
    return params


@st.composite
def layer_params(draw):
    """Parameters of `ConvolutionalKernelLayer`."""
    return {
        "n_components": draw(st.integers(1, 9)),
        "filter_size": draw(st.integers(1, 6)),
        "gamma": draw(st.one_of(st.just("median"), powers_of_ten(-6, 6))),
        "subsampling": draw(st.integers(1, 5)),
        "damping": draw(st.one_of(st.just(1e-2), powers_of_ten(-9, 3))),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "anchors": draw(st.sampled_from(["kmeans", "random", "given"])),
        "max_elements": draw(st.sampled_from([3, 50, 300_000])),
        "n_jobs": draw(st.sampled_from([1, 1, 2])),
        "random_state": draw(seeds),
    }


@st.composite
def supervised_params(draw):
    """Parameters that `OTKClassifier` and `OTKRegressor` share, and of their embedding."""
    trainable = st.sets(st.sampled_from(["references", "anchors", "gamma"]))
    return {
        "n_supports": draw(st.integers(1, 4)),
        "n_references": draw(st.sampled_from([1, 1, 2])),
        "epsilon": draw(powers_of_ten(-6, 6)),
        "kernel": draw(st.sampled_from(KERNELS)),
        "gamma": draw(st.one_of(st.just("median"), powers_of_ten(-6, 6))),
        "n_components": draw(st.integers(1, 8)),
        "damping": draw(st.one_of(st.just(1e-2), powers_of_ten(-9, 3))),
        "filter_size": draw(st.sampled_from([1, 1, 3])),
        "solver": draw(st.sampled_from(["sinkhorn", "sinkhorn", "softmax"])),
        "tol": draw(st.sampled_from([0.0, 1e-4, 1e-2])),
        "alpha": draw(st.one_of(st.just("cv"), powers_of_ten(-3, 6))),
        "optimizer": draw(st.sampled_from(["auto", "adam", "lbfgs"])),
        "learning_rate_init": draw(powers_of_ten(-6, 6)),
        "max_epochs": draw(st.integers(1, 3)),
        "early_stopping": draw(st.sampled_from(["auto", True, False])),
        "trainable": sorted(draw(trainable)),
        "refit_head": draw(st.booleans()),
        "random_state": draw(seeds),
    }


def with_absent_elements(sets, n_added, filter_size, random):
    """Sets, and the same with elements of mass 0 added, whatever their values.

    Between those and others lie so many ordinary elements of mass 0, in both, that no
    window has both. Added elements are of all kinds in `ABSENT`, at any position.

    Parameters
    ----------
    sets : SetCollection
    n_added, filter_size : int
    random : Generator

    Returns
    -------
    sets, larger : SetCollection
        With weights, and with positions if the given ones have them.
    kept : list of ndarray of bool
        Which elements of the larger sets are those of the others.
    """
    limits, reach = np.finfo(sets.dtype), filter_size - 1
    weights = np.ones(len(sets.values)) if sets.weights is None else sets.weights
    parts, larger, kept = [], [], []
    for i, x in enumerate(sets):
        span = slice(*sets.offsets[i : i + 2])
        place = random.integers(len(x) + 1)
        columns = [x, weights[span]]
        if sets.positions is not None:
            columns.append(sets.positions[span])
        margin = np.full(2 * reach, place)
        columns = [
            np.insert(c, margin, fill, axis=0) for c, fill in zip(columns, [1.0, 0.0, 0.5])
        ]
        added = [
            make(random, x.shape[1:], limits, x[0])
            for make in random.choice(list(ABSENT.values()), n_added)
        ]
        fills = [np.reshape(added, (n_added, -1)), 0.0, random.normal() * 1e3]
        places = np.full(n_added, place + reach)
        parts.append(columns)
        larger.append(
            [np.insert(c, places, fill, axis=0) for c, fill in zip(columns, fills)]
        )
        is_kept = np.ones(len(columns[0]) + n_added, bool)
        is_kept[place + reach : place + reach + n_added] = False
        kept.append(is_kept)

    def collect(parts):
        values, *rest = zip(*parts)
        return SetCollection.from_sets(values, **dict(zip(["weights", "positions"], rest)))

    return collect(parts), collect(larger), kept


# What is not legal, and what its error says.
ILLEGAL = {
    "n_supports": [0, -1, 1.5, "many", None],
    "n_references": [0, -3, 2.0],
    "epsilon": [0, -0.1, np.nan, "small", None],
    "kernel": ["gaussian", None, 1],
    "gamma": [0, -1.0, np.nan, "mean"],
    "n_components": [0, -1, 3.0],
    "damping": [0, -1e-2, np.nan],
    "filter_size": [0, -1, 2.5],
    "padding": ["full", None],
    "position": ["soft", 1],
    "position_sigma": [0, -1, np.nan],
    "anchors": ["k-means", None, [[1.0, np.nan]], [1.0, 2.0], [["a"]]],
    "references": ["k-means", None, [[[np.inf]]], [[1.0]], []],
    "solver": ["sinkhorn_log", None],
    "relaxation": [0, -1, np.nan, "much"],
    "support_relaxation": [0, -1, np.nan, "much"],
    "max_iter": [0, -5, 1.5],
    "tol": [-1e-9, np.nan, None],
    "max_elements": [0, -1, 10.0],
    "n_jobs": [0, 1.5, "all"],
    "random_state": [-1, "seed", 1.5],
}
BROKEN_SETS = {
    "NaN": "contains NaN in set {}",
    "inf": r"contains infinity \(inf\) in set {}",
    "empty": "set {} of X is empty",
    "1-D": "set {} of X has shape",
    "3-D": "set {} of X has shape",
    "wider": "features",
    "complex": "Complex data not supported: set {}",
    "text": "set {} of X is <U",
    "masked": "set {} of X has masked values",
}


def broken_set(kind, x, random):
    """One set's elements, changed into something that is no set."""
    if kind in ("NaN", "inf"):
        x = x.copy()
        x[random.integers(len(x)), random.integers(x.shape[1])] = float(kind)
        return x
    return {
        "empty": x[:0],
        "1-D": x[:, 0],
        "3-D": x[np.newaxis],
        "wider": np.hstack([x, x]),
        "complex": x * 1j,
        "text": x.astype(str),
        "masked": np.ma.masked_greater_equal(x, x.min()),
    }[kind]


illegal_params = st.sampled_from(
    [(name, value) for name, values in ILLEGAL.items() for value in values]
)
