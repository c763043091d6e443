"""Embedding of one set that is never in memory: its elements come in blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._state import state_and_sets
from otk_sklearn.matching._streaming import ElementBlock, StreamedMatching
from otk_sklearn.sets._arrays import as_elements
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._names import check_feature_names_match, feature_names_of
from otk_sklearn.sets._offsets import read_only
from otk_sklearn.sets._validation import check_finite, check_finite_output
from otk_sklearn.sets._windows import Windows, WindowValues, filter_windows


def transform_blocks(
    embedding: OTKEmbedding,
    blocks: Callable[[], Iterable[ArrayLike]] | Iterable[ArrayLike],
    *,
    n_elements: int | None = None,
    max_passes: int | None = None,
) -> Bunch:
    """Embed one set whose elements come in blocks, in constant memory.

    The result is that of `embedding.transform` for a set with the elements of all blocks,
    to the same `tol`, and independent of how they are divided into blocks. The first pass
    starts from the plan of the elements that come first. If that meets `tol`, as it does
    for a large set in random order, it is the only one; in other orders, two to four passes
    are usual.

    For an array that is mapped to memory, no blocks are needed: a `SetCollection` holds it
    without a copy, and `OTKEmbedding.transform` takes the same way for sets whose
    similarities exceed scikit-learn's `working_memory`.

    Parameters
    ----------
    embedding : OTKEmbedding
        Fitted, with `solver="sinkhorn"` or `"softmax"`. Blocks are processed in its
        `n_jobs` threads, and `max_iter` bounds the number of passes.
    blocks : callable, or iterable of blocks
        A callable returns a new iterator of the same blocks for each pass; an iterable can
        be iterated over several times. A block is an array-like of shape
        (n_elements_in_block, n_features), or a `SetCollection` of one set, for weights and
        positions. Some 100,000 elements are enough for a block.
    n_elements : int, default=None
        Number of elements of all blocks. Only with `position`, if blocks have no positions,
        these depend on it. None means that they are counted then, which takes a pass.
    max_passes : int, default=None
        Maximum number of passes. None means `max_iter` of the embedding. 1 is enough for
        an iterator that can't be repeated.

    Returns
    -------
    Bunch
        With the attributes

        - embedding : ndarray of shape (1, n_features_out), in the dtype of the blocks;
        - n_passes : int, the number of passes, except one that counts elements;
        - residual : ndarray of shape (n_references,), upper bounds of the residuals that
          `tol` refers to;
        - n_elements : int, the number of elements of all blocks.

    Raises
    ------
    ValueError
        If `solver="emd"`, which needs all elements at once; or if a block is invalid, or
        passes differ in their number of elements. The message names the block.

    Warns
    -----
    ConvergenceWarning
        If `tol` is missed after `max_passes`.

    See Also
    --------
    otk_sklearn.OTKEmbedding.transform : Embeds sets in memory, or mapped to it.

    Notes
    -----
    Each pass solves for the side of the elements exactly, for the scalings of the supports
    from the last one, and sums up the column sums of the plan and their derivatives. So
    scalings are improved by Newton's method. With the column sums `c_j` of the plan before
    its columns are scaled to `b_j = 1 / n_supports`, its residual is at most
    `sum_j |b_j - c_j|`.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.batches import transform_blocks
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(100, 3)) for _ in range(5)]
    >>> embedding = OTKEmbedding(4, n_components=16, random_state=0).fit(X)
    >>> def blocks():
    ...     for seed in range(20):
    ...         yield np.random.default_rng(seed).normal(size=(1000, 3))
    >>> result = transform_blocks(embedding, blocks)
    >>> result.embedding.shape, result.n_elements, result.n_passes
    ((1, 64), 20000, 1)
    """
    state = _state_of(embedding)
    _check_blocks(blocks, max_passes)
    _check_count(n_elements, "n_elements")
    _check_count(max_passes, "max_passes")
    transport = state.transport
    if max_passes is None:
        max_passes = transport.max_iter
    stream = _BlockStream(blocks, embedding, state, n_elements, repeats=max_passes > 1)
    matching = StreamedMatching(state, stream.dtype)
    out = np.empty((1, state.references.size), stream.dtype)
    plan = matching.embed_stream(stream, max_passes, out)
    check_finite_output(out, "embedding", sets="blocks")
    _warn_unconverged(transport, plan, max_passes)
    return Bunch(
        embedding=out,
        n_passes=plan.n_passes,
        residual=plan.residual[0],
        n_elements=stream.n_elements,
    )


def _state_of(embedding):
    if not isinstance(embedding, OTKEmbedding):
        raise TypeError(
            f"embedding is {type(embedding).__name__}; expected a fitted OTKEmbedding: "
            "classifier.embedding_ of an OTKClassifier, pipeline[-1] of a pipeline, say."
        )
    check_is_fitted(embedding)
    no_sets = SetCollection(np.empty((0, embedding.n_features_in_)), [0])
    state, _ = state_and_sets(embedding, no_sets)
    if state.transport.solver == "emd":
        raise ValueError(
            "embedding has solver='emd', which needs all elements at once; expected "
            "embedding.set_params(solver='sinkhorn')."
        )
    return state


def _check_count(count, name):
    is_count = isinstance(count, Integral) and not isinstance(count, bool) and count > 0
    if not (count is None or is_count):
        raise ValueError(f"{name} is {count!r}; expected a positive integer, or None.")


def _check_blocks(blocks, max_passes):
    name = type(blocks).__name__
    if isinstance(blocks, SetCollection):
        raise TypeError(
            "blocks is a SetCollection, of whole sets; expected the blocks of one set. For "
            "whole sets: embedding.transform(blocks)."
        )
    if hasattr(blocks, "columns") or getattr(blocks, "ndim", 3) == 2:
        raise TypeError(
            f"blocks is one {name}; expected several blocks, or a list of one: [blocks]."
        )
    if callable(blocks):
        return
    if not hasattr(blocks, "__iter__"):
        raise TypeError(
            f"blocks is {name}; expected a callable that returns an iterator of blocks, or "
            "an iterable of blocks."
        )
    if iter(blocks) is blocks and max_passes != 1:
        raise TypeError(
            f"blocks is {name}, which passes once; expected a callable that returns a new "
            "one for each pass, such as the generator function itself, or max_passes=1."
        )


def _warn_unconverged(transport, plan, max_passes):
    if transport.solver != "sinkhorn" or transport.tol == 0:
        return
    if plan.residual.max() > transport.tol:
        warn_caller(
            f"Sinkhorn missed tol={transport.tol:g} in {plan.n_passes} passes (residual "
            f"{plan.residual.max():.2g} at most). Increase max_passes={max_passes} or "
            f"epsilon={transport.epsilon:g}.",
            ConvergenceWarning,
        )


class _BlockStream:
    """Blocks of the user, as blocks of elements (or windows) of positive weight.

    Implements the interface of `SetStream`.

    Parameters
    ----------
    blocks : callable, or iterable of blocks
    embedding : OTKEmbedding
    state : EmbeddingState
    n_elements : int or None
    repeats : bool
        Whether there may be a second pass, which then wants a sample of all elements.

    Attributes
    ----------
    dtype : dtype
        Of all blocks.
    n_elements : int or None
        As counted in the first pass.
    """

    def __init__(self, blocks, embedding, state, n_elements, repeats):
        self._blocks, self._embedding, self._state = blocks, embedding, state
        self._expected, self.n_elements, self._repeats = n_elements, None, repeats
        self._reservoir = self._weight_unit = self.dtype = None
        rows = self._rows()
        first = next(rows, None)
        if first is None:
            raise ValueError("blocks has no element; expected at least one.")
        self.dtype, self._has_positions = first.dtype, first.positions is not None
        self._counts = state.position_filter is not None and not self._has_positions
        if self._counts and self._expected is None:
            self._expected = self._count()
        self._first_pass = self._elements(itertools.chain([first], rows))

    def __iter__(self):
        elements, self._first_pass = self._first_pass, None
        reservoir = None
        if elements is None:
            elements = self._elements(self._rows())
        elif self._repeats:
            reservoir = self._reservoir
        for block in elements:
            if reservoir is not None:
                reservoir.add(block)
            yield block

    def first_sample(self, size):
        """Return a block of the first elements: the next pass starts with them, too."""
        held, n_held = [], 0
        while n_held < size and (block := next(self._first_pass, None)) is not None:
            held.append(block)
            n_held += block.n_elements
        self._first_pass = itertools.chain(held, self._first_pass)
        self._reservoir = _Reservoir(size)
        starts = np.cumsum([0] + [block.n_elements for block in held])
        return _joined(
            block.take(slice(0, max(0, size - start))) for block, start in zip(held, starts)
        )

    def random_sample(self):
        """Return a block that was drawn at random in the first pass."""
        return self._reservoir.sample()

    def _open(self):
        return iter(self._blocks() if callable(self._blocks) else self._blocks)

    def _count(self):
        """Number of elements, by a pass of its own."""
        if not callable(self._blocks) and iter(self._blocks) is self._blocks:
            raise ValueError(
                "n_elements=None with position, and blocks that pass once; expected the "
                "number of elements, as their positions depend on it."
            )
        return sum(len(_as_set(block, i).values) for i, block in enumerate(self._open()))

    def _rows(self):
        """Validate the blocks of a pass: those that are not empty, with all their rows."""
        n_rows, i = 0, -1
        for i, block in enumerate(self._open()):
            sets = self._checked(_as_set(block, i), i)
            n_rows += len(sets.values)
            if len(sets.values):
                yield ElementBlock(sets.values, sets.weights, sets.positions)
        if self.n_elements is None:
            self.n_elements = n_rows
        if n_rows != self.n_elements:
            raise ValueError(
                f"blocks had {self.n_elements} elements in the first pass, and {n_rows} in "
                "a later one; expected a callable that returns a new iterator of the same "
                "blocks for each pass."
            )
        if self._expected not in (None, n_rows):
            raise ValueError(
                f"n_elements={self._expected}, and there are {n_rows} elements in {i + 1} "
                f"blocks; expected n_elements={n_rows}."
            )

    def _checked(self, sets, i):
        """Check a block against the fit, and against the first block."""
        embedding, is_first_pass = self._embedding, self.n_elements is None
        if sets.n_features != embedding.n_features_in_:
            raise ValueError(
                f"block {i} has {sets.n_features} features; expected "
                f"{embedding.n_features_in_}, as in fit."
            )
        if len(sets.values) and is_first_pass:
            check_feature_names_match(embedding, sets.column_labels)
            if self._state.position_filter is not None:
                self._state.position_filter.check_axes(sets)
        check_finite(sets, f"block {i}")
        if len(sets.values) and self.dtype is not None:
            if sets.dtype != self.dtype:
                raise ValueError(
                    f"block {i} is {sets.dtype}, and the first is {self.dtype}; expected "
                    f"one of them for all: block.astype({self.dtype.name!r})."
                )
            if (sets.positions is not None) != self._has_positions:
                raise ValueError(
                    f"block {i} has {'no ' * self._has_positions}positions, unlike the "
                    "first; expected them for all blocks, or none."
                )
        return sets

    def _elements(self, rows):
        """Turn rows into elements: windows, with default positions, of positive weight."""
        state, first = self._state, 0
        windows = filter_windows(
            np.array([0, self._expected or 0]), state.filter_size, state.padding
        )
        n_windows = windows.offsets[-1]
        scaled = map(self._scaled, rows)
        if state.filter_size > 1:
            scaled = _window_blocks(scaled, state.filter_size, state.padding)
        for block in scaled:
            positions = None
            if state.position_filter is not None:
                positions = block.positions
                if positions is None:
                    index = np.arange(first, first + block.n_elements)
                    positions = (index / n_windows)[:, np.newaxis]
            first += block.n_elements
            block = ElementBlock(block.values, block.weights, positions)
            if block.weights is not None and not block.weights.all():
                block = block.take(np.flatnonzero(block.weights))
            if block.n_elements:
                yield block

    def _scaled(self, block):
        """Scale weights, so that the largest one of the first block is 1."""
        weights = block.weights
        if self._weight_unit is None:
            self._weight_unit = 1.0 if weights is None else weights.max()
        if weights is not None:
            weights = weights / self._weight_unit
        elif self._weight_unit != 1.0:
            weights = np.full(block.n_elements, 1.0 / self._weight_unit)
        return ElementBlock(block.values, weights, block.positions)


def _as_set(block, i):
    """Return a block as a collection of one set."""
    if isinstance(block, SetCollection):
        if len(block) != 1:
            raise ValueError(
                f"block {i} has {len(block)} sets; expected one, with a part of the "
                "elements: SetCollection(values, [0, len(values)])."
            )
        return block
    values = as_elements(block, f"block {i}")
    names = feature_names_of(block)
    return SetCollection(values, [0, len(values)], feature_names=names)


def _window_blocks(blocks, filter_size, padding):
    """Windows of rows that pass by in blocks: the same as `WindowedSets` has of all.

    Parameters
    ----------
    blocks : iterator of ElementBlock
    filter_size, padding
        As in `windows_of`.

    Yields
    ------
    ElementBlock
        With windows that are computed when taken.
    """
    front = 0 if padding == "valid" else (filter_size - 1) // 2
    n_rows, n_windows, rows = 0, 0, None
    for block in blocks:
        n_rows += block.n_elements
        rows = block if rows is None else _joined([rows, block])
        n_whole = rows.n_elements + front - (filter_size - 1)
        if n_whole > 0:  # the others go on in the next block
            yield _windows_of(rows, n_whole, filter_size, front)
            n_windows += n_whole
            front -= n_whole
            rows = rows.take(slice(max(0, -front), None))
            front = max(0, front)
    total = n_rows if padding == "same" else max(1, n_rows - filter_size + 1)
    if n_windows < total:
        yield _windows_of(rows, total - n_windows, filter_size, front)


def _windows_of(rows, n_windows, filter_size, front):
    """The first windows of these rows, with so many rows of zeros in front of them."""
    bounds = np.array([0, rows.n_elements]), np.array([0, n_windows])
    windows = Windows(*bounds, filter_size, front)
    columns = [
        None if column is None else windows.means(column, np.ones(filter_size))
        for column in (
            None if rows.weights is None else rows.weights[:, np.newaxis],
            rows.positions,
        )
    ]
    weights = None if columns[0] is None else columns[0][:, 0]
    return ElementBlock(WindowValues(rows.values, windows), weights, columns[1])


def _joined(blocks):
    """Join blocks. Those without weights have weights of 1."""
    blocks = list(blocks)
    values = read_only(np.concatenate([block.values for block in blocks]))
    weights = positions = None
    if any(block.weights is not None for block in blocks):
        weights = np.concatenate(
            [
                np.ones(block.n_elements) if block.weights is None else block.weights
                for block in blocks
            ]
        )
    if blocks[0].positions is not None:
        positions = np.concatenate([block.positions for block in blocks])
    return ElementBlock(values, weights, positions)


class _Reservoir:
    """A random sample of the elements that pass by: those with the smallest random keys.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size):
        self._size, self._random = size, np.random.RandomState(0)
        self._blocks, self._keys, self._bound = [], [], 1.0

    def add(self, block):
        """Draw from a block."""
        keys = self._random.uniform(size=block.n_elements)
        drawn = np.flatnonzero(keys < self._bound)
        if len(drawn):
            self._blocks.append(block.take(drawn))
            self._keys.append(keys[drawn])
        if sum(map(len, self._keys)) > 2 * self._size:
            self._shrink()

    def sample(self):
        """Return what was drawn, in the order of the elements."""
        self._shrink()
        return self._blocks[0]

    def _shrink(self):
        block, keys = _joined(self._blocks), np.concatenate(self._keys)
        if len(keys) > self._size:
            self._bound = np.partition(keys, self._size)[self._size]
            kept = np.flatnonzero(keys < self._bound)
            block, keys = block.take(kept), keys[kept]
        self._blocks, self._keys = [block], [keys]
