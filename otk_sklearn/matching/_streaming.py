"""Matching of one set in constant memory: its elements pass by in blocks, several times.

Nothing is kept of an element: each pass computes its features and similarities anew, solves
for its row of the plan, and pools it. Scalings of the supports start from those for a
sample of the elements, so that few passes are needed.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import sklearn

from otk_sklearn._utils.chunks import batches_of, chunk_rows, map_chunks
from otk_sklearn._utils.thread_limits import single_threaded
from otk_sklearn.matching._matching import Matching
from otk_sklearn.sets._offsets import read_only
from otk_sklearn.sets._positive_mass import SetsOfPositiveMass, with_positive_mass
from otk_sklearn.sets._windows import WindowedSets
from otk_sklearn.transport._solvers import is_accurate_in_float32
from otk_sklearn.transport._streaming import (
    PassSums,
    SupportScalings,
    element_power,
    match_block,
    sampled_log_w,
)

# Elements of the sample that scalings start from, and bound on its size: column sums of the
# whole set then differ from theirs by about 1 % or less.
_SAMPLE_ELEMENTS = 2**17
_SAMPLE_NUMBERS = 2**25

# Only sets of more elements than so many samples are streamed in `transform`.
_MIN_SAMPLES = 4

# Blocks whose sums are in memory at a time.
_BLOCKS_AT_A_TIME = 32

# Rounding of scalings would leave larger residuals in float32.
_MIN_FLOAT32_TOL = 1e-5

# A larger residual after the first pass means that its sample was not representative.
_POOR_RESIDUAL = 0.1


def sample_size(state, n_features):
    """Number of elements (or windows) of this width in the sample of a set."""
    n_references, n_supports, _ = state.references.shape
    numbers = n_features + n_references * n_supports
    return max(1, min(_SAMPLE_ELEMENTS, _SAMPLE_NUMBERS // numbers))


def is_streamed(state, sets):
    """Which sets are streamed: those whose similarities exceed `working_memory`.

    Parameters
    ----------
    state : EmbeddingState
    sets : SetCollection or WindowedSets

    Returns
    -------
    ndarray of bool of shape (n_sets,)
    """
    transport, lengths = state.transport, sets.lengths
    plain_sinkhorn = transport.solver == "sinkhorn" and transport.tol == 0.0
    if transport.solver == "emd" or plain_sinkhorn:  # too many passes
        return np.zeros(len(lengths), bool)
    element_bytes = state.references[..., 0].size * sets.dtype.itemsize
    memory = sklearn.get_config()["working_memory"] * 2**20
    least = _MIN_SAMPLES * sample_size(state, sets.values.shape[1])
    return (lengths * element_bytes > memory) & (lengths > least)


@dataclass(frozen=True, eq=False)
class ElementBlock:
    """Elements (or windows) of one set, of positive weight, as a set of its own.

    Implements the part of the interface of `SetCollection` that similarities need.

    Parameters
    ----------
    values : ndarray of shape (n_elements, n_features)
    weights : ndarray of float64 of shape (n_elements,) or None
        Up to about 1; None means 1.
    positions : ndarray of shape (n_elements, n_axes) or None
        Not None if there is a position filter.
    """

    values: np.ndarray
    weights: np.ndarray | None
    positions: np.ndarray | None

    @property
    def dtype(self):
        """Data type of the values."""
        return self.values.dtype

    @property
    def offsets(self):
        """Where the set starts, and where it ends."""
        return np.array([0, len(self.values)])

    @property
    def n_elements(self):
        """Number of elements."""
        return len(self.values)

    def astype(self, dtype):
        """Return the block with values of this dtype."""
        values = read_only(self.values.astype(dtype, copy=False))
        return ElementBlock(values, self.weights, self.positions)

    def take(self, rows):
        """Return the block of these rows."""
        weights = None if self.weights is None else self.weights[rows]
        positions = None if self.positions is None else self.positions[rows]
        # Read-only, as those of sets: kernels are not compiled for another type.
        return ElementBlock(read_only(self.values[rows]), weights, positions)


class SetStream:
    """The only set of a collection, as blocks of elements; rows are read when taken.

    Parameters
    ----------
    sets : SetCollection, WindowedSets or SetsOfPositiveMass
        One set.
    with_positions : bool
        Whether positions are needed.
    """

    def __init__(self, sets, with_positions):
        sets, _ = with_positive_mass(sets)
        self._values = sets.values
        rows = sets.rows if isinstance(sets, WindowedSets) else sets
        self._weights = self._positions = None
        if isinstance(sets, SetsOfPositiveMass) or rows.weights is not None:
            masses = sets.masses
            self._weights = masses / masses.max()
        self._with_positions = with_positions
        if with_positions:
            self._positions = sets.positions

    @property
    def n_elements(self):
        """Number of elements."""
        return len(self._values)

    def __iter__(self):
        yield self  # all elements can be taken

    def take(self, rows):
        """Return the block of these rows.

        Parameters
        ----------
        rows : slice or ndarray of int
        """
        positions = None
        if self._positions is not None:
            positions = self._positions[rows]
        elif self._with_positions:
            index = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
            positions = (index / self.n_elements)[:, np.newaxis]
        weights = None if self._weights is None else self._weights[rows]
        return ElementBlock(read_only(self._values[rows]), weights, positions)

    def first_sample(self, size):
        """Return a random block: an element of each of so many parts of the set."""
        bounds = np.arange(size + 1) * self.n_elements // size
        within = np.random.RandomState(0).uniform(size=size) * np.diff(bounds)
        return self.take(bounds[:-1] + within.astype(np.int64))

    def random_sample(self):
        """Return None: the first sample was random."""


@dataclass(frozen=True, eq=False)
class StreamedPlan:
    """How a set was matched whose plan was not kept.

    Parameters
    ----------
    n_passes : int
        Passes over the elements.
    residual : ndarray of shape (1, n_references)
        Upper bounds of those of `Plans`.
    """

    n_passes: int
    residual: np.ndarray


class StreamedMatching(Matching):
    """Matches sets of any number of elements to references, block by block."""

    def embed_set(self, sets, out):
        """Write the embedding of one set to `out`.

        Parameters
        ----------
        sets : SetCollection or WindowedSets
            One set.
        out : ndarray of shape (1, n_references * n_supports * n_components)

        Returns
        -------
        StreamedPlan
        """
        stream = SetStream(sets, self._state.position_filter is not None)
        return self.embed_stream(stream, self._state.transport.max_iter, out)

    def embed_stream(self, stream, max_passes, out):
        """Write the embedding of the elements of a stream to `out`.

        Parameters
        ----------
        stream : iterable
            Iterated over in each pass: it yields objects with `n_elements` and
            `take(rows)`, which returns an `ElementBlock`. Its methods are those of
            `SetStream`.
        max_passes : int
        out : ndarray of shape (1, n_references * n_supports * n_components)

        Returns
        -------
        StreamedPlan
        """
        transport = self._state.transport
        scalings = self._start(stream)
        for n_passes in itertools.count(1):
            sums = self._pass(stream, np.array([one.log_w for one in scalings]))
            for r, one in enumerate(scalings):
                one.update(sums, r)
            if n_passes >= max_passes or all(one.done for one in scalings):
                break
            is_poor = transport.tol > 0 and any(
                one.residual > _POOR_RESIDUAL for one in scalings
            )
            if n_passes == 1 and is_poor and (sample := stream.random_sample()) is not None:
                scalings = self._scalings_of(sample)
        pooled = np.array([one.pooled for one in scalings]).astype(self.dtype)
        self._pooled_to_means(pooled, out.reshape(pooled.shape))
        return StreamedPlan(n_passes, np.array([[one.residual for one in scalings]]))

    def _start(self, stream):
        transport, n_supports = self._state.transport, self.supports.shape[1]
        if element_power(transport) > 0.0 < transport.tol:
            size = sample_size(self._state, self._n_features)
            return self._scalings_of(stream.first_sample(size))
        log_w = np.full(n_supports, -np.log(n_supports))
        return [SupportScalings(log_w, transport) for _ in self.supports]

    def _scalings_of(self, sample):
        """Scalings that solve the problem of a sample, with similarities in float64."""
        n_references, n_supports, _ = self.supports.shape
        similarities = np.empty((n_references, n_supports, sample.n_elements))

        def write(rows):
            similarities[:, :, rows] = self._matched(sample.take(rows))[0]

        with single_threaded():
            for rows in batches_of(sample.n_elements, self._block_rows):
                with np.errstate(all="ignore"):
                    write(rows)
            transport = self._state.transport
            log_w = sampled_log_w(similarities, sample.weights, transport)
        return [SupportScalings(one, transport) for one in log_w]

    @property
    def _n_features(self):
        feature_map = self._state.feature_map
        return feature_map.n_features or self.supports.shape[2]

    @property
    def _block_rows(self):
        return min(self.max_rows, chunk_rows(self.supports.shape[2]))

    def _pass(self, stream, log_w):
        """Sum over the elements of all blocks, in their order."""
        total = None
        for elements in stream:
            blocks = batches_of(elements.n_elements, self._block_rows)
            for some in batches_of(len(blocks), _BLOCKS_AT_A_TIME):
                for sums in self._sums_of(elements, blocks[some], log_w):
                    total = sums if total is None else total + sums
        return total

    def _sums_of(self, elements, blocks, log_w):
        """Return the `PassSums` of blocks of rows, computed in threads."""

        def sums_of(chunk):
            return [self._block_sums(elements.take(rows), log_w) for rows in blocks[chunk]]

        lengths = np.array([rows.stop - rows.start for rows in blocks])
        sums = map_chunks(
            sums_of,
            lengths,
            rows_per_set=0,
            max_rows=self._block_rows,
            n_jobs=self._state.n_jobs,
        )
        return itertools.chain.from_iterable(sums)

    def _block_sums(self, block, log_w) -> PassSums:
        similarities, position_weights, kappa = self._matched(block)

        def pool(plan):
            if position_weights is not None:
                plan *= position_weights
            flat = plan.reshape(-1, plan.shape[2])
            return (flat @ kappa).reshape(self.supports.shape)

        transport = self._state.transport
        return match_block(similarities, block.weights, log_w, transport, pool)

    def _matched(self, block):
        """Similarities of a block, its position weights, and its features.

        They are computed in float64 where float32 is not enough.
        """
        transport = self._state.transport
        if self.dtype == np.float32 and (
            transport.needs_float64 or 0 < transport.tol < _MIN_FLOAT32_TOL
        ):
            return self._in_float64._matched(block.astype(np.float64))
        blocks = self._feature_blocks(block)
        position_weights = self._position_weights(block)
        similarities, rounding = self._solver_input(block, blocks, position_weights)
        if self.dtype == np.float32 and not is_accurate_in_float32(rounding, transport):
            return self._in_float64._matched(block.astype(np.float64))
        ((_, kappa, _),) = blocks  # a block has no more rows than are kept
        return similarities, position_weights, kappa

    @functools.cached_property
    def _in_float64(self):
        return StreamedMatching(self._state, np.float64)
