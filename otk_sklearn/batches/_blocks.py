"""Blocks of consecutive sets: joined where a set goes on, and cut between sets."""

from dataclasses import dataclass, replace

import numpy as np

from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._names import shown
from otk_sklearn.sets._offsets import offsets_of

_OF_ELEMENTS = ("values", "weights", "positions", "order")


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive sets, packed, of which the first may be the rest of the one before."""

    values: np.ndarray | None
    """Elements of all sets; None if there is none, and nothing tells how many features."""
    lengths: np.ndarray
    names: np.ndarray | None
    weights: np.ndarray | None = None
    positions: np.ndarray | None = None
    order: np.ndarray | None = None
    """By which the elements of each set are to be sorted."""
    target: list | None = None
    """An array for each column of the target, with an entry for each set."""
    feature_names: list | None = None
    goes_on: bool = False
    """Whether the first set goes on from the block before."""

    @property
    def sizes(self):
        """Elements of each set; an empty one counts as well."""
        return np.maximum(self.lengths, 1)

    def part(self, start, stop):
        """The sets from `start` to before `stop`, as views."""
        offsets = offsets_of(self.lengths)
        rows = slice(offsets[start], offsets[stop])
        chosen = slice(start, stop)
        parts = {name: getattr(self, name) for name in _OF_ELEMENTS}
        parts = {name: x[rows] for name, x in parts.items() if x is not None}
        return replace(
            self,
            **parts,
            lengths=self.lengths[chosen],
            names=None if self.names is None else self.names[chosen],
            target=self.target and [column[chosen] for column in self.target],
            goes_on=False,
        )


def regrouped(blocks, max_elements):
    """Yield blocks of complete sets with this many elements at most, or of one set.

    Each is as large as it can be without the first set of the next one. Blocks are joined
    only when one can be yielded, so that each element is copied about once.
    """
    waiting, n_complete, n_last = [], 0, 0
    for block in blocks:
        waiting.append(block)
        sizes = block.sizes
        if block.goes_on:
            n_last, sizes = n_last + sizes[0], sizes[1:]
        if not len(sizes):
            continue
        n_complete += n_last + sizes[:-1].sum()
        n_last = sizes[-1]
        if n_complete > max_elements:
            joined = join(waiting)
            starts, n_complete = _full_parts(joined.sizes[:-1], max_elements)
            for start, stop in zip(starts[:-1], starts[1:]):
                yield joined.part(start, stop)
            waiting = [joined.part(starts[-1], len(joined.lengths))]
    if waiting:
        joined = join(waiting)
        starts, n_rest = _full_parts(joined.sizes, max_elements)
        if n_rest:
            starts.append(len(joined.lengths))
        for start, stop in zip(starts[:-1], starts[1:]):
            yield joined.part(start, stop)


def borders(sizes, max_elements):
    """Where parts of sets start, each as large as it may be, and the last one ends."""
    ends = np.cumsum(sizes)
    starts = [0]
    while starts[-1] < len(sizes):
        start = starts[-1]
        before = ends[start - 1] if start else 0
        stop = np.searchsorted(ends, before + max_elements, side="right")
        starts.append(max(int(stop), start + 1))
    return starts


def _full_parts(sizes, max_elements):
    """Borders of the parts that take no further set, and the size of what comes after."""
    starts = borders(sizes, max_elements)
    rest = int(sizes[starts[-2] :].sum()) if len(starts) > 1 else 0
    if rest >= max_elements:
        return starts, 0
    return starts[:-1] or [0], rest


def join(blocks):
    """Join blocks, and the sets that go on from one to the next."""
    if len(blocks) == 1:
        return blocks[0]
    is_new = np.concatenate([_are_new(block) for block in blocks])
    is_new[0] = True
    lengths = np.concatenate([block.lengths for block in blocks])
    parts = {name: _joined([getattr(x, name) for x in blocks]) for name in _OF_ELEMENTS}
    names, targets = blocks[0].names, blocks[0].target
    if names is not None:
        names = _joined_labels([block.names for block in blocks])[is_new]
    if targets is not None:
        columns = zip(*(block.target for block in blocks))
        targets = [_joined_labels(column)[is_new] for column in columns]
    return replace(
        blocks[0],
        **parts,
        lengths=np.add.reduceat(lengths, np.flatnonzero(is_new)),
        names=names,
        target=targets,
        goes_on=False,
    )


def _are_new(block):
    is_new = np.ones(len(block.lengths), bool)
    is_new[0] = not block.goes_on
    return is_new


def _joined(parts):
    if parts[0] is None:
        return None
    are_labels = parts[0].ndim == 1
    return _joined_labels(parts) if are_labels else np.concatenate(parts)


def _joined_labels(parts):
    """Join labels; NumPy would round signed and unsigned integers together to floats."""
    are_integers = all(part.dtype.kind in "iu" for part in parts)
    is_exact = not are_integers or np.result_type(*parts).kind in "iu"
    return np.concatenate(parts, dtype=None if is_exact else object)


def with_features(blocks):
    """Yield blocks whose values are arrays, once an element tells how many features."""
    waiting, like = [], None
    for block in blocks:
        like = block if block.values is not None else like
        waiting.append(block)
        if like is not None:
            yield from (_filled(x, like) for x in waiting)
            waiting = []
    if waiting:
        raise ValueError(
            "batches has no element in any set, so that the number of features is not "
            "known; expected at least one element."
        )


def _filled(block, like):
    """A block without elements with arrays of length 0, of the shapes of another's."""
    if block.values is not None:
        return block
    parts = {name: getattr(like, name) for name in _OF_ELEMENTS}
    empty = {name: None if x is None else x[:0] for name, x in parts.items()}
    return replace(block, **empty, feature_names=like.feature_names)


def as_collection(block):
    """The sets of a block, whose elements are put in their order."""
    block = _sorted(block)
    offsets = offsets_of(block.lengths)
    _check_weights(block, offsets)
    return SetCollection(
        block.values,
        offsets,
        weights=block.weights,
        positions=block.positions,
        names=block.names,
        feature_names=block.feature_names,
    )


def as_target(block, one):
    """The target of each set: an array, if it is of one column, or of columns."""
    if one:
        return block.target[0]
    are_numbers = all(column.dtype.kind in "biuf" for column in block.target)
    columns = [x if are_numbers else x.astype(object) for x in block.target]
    return np.column_stack(columns)


def _sorted(block):
    """The block with the elements of each set in ascending order; equal ones stay so."""
    if block.order is None:
        return block
    keys = block.order
    if keys.dtype == object:  # which NumPy doesn't sort by another array
        keys = np.unique(keys, return_inverse=True)[1]
    order = np.lexsort((keys, np.repeat(np.arange(len(block.lengths)), block.lengths)))
    if (np.diff(order) > 0).all():
        return block
    parts = {name: getattr(block, name) for name in _OF_ELEMENTS}
    return replace(block, **{k: x[order] for k, x in parts.items() if x is not None})


def _check_weights(block, offsets):
    """Raise an error that names a set whose weights are all zero."""
    if block.weights is None or block.names is None:
        return
    filled = np.flatnonzero(block.lengths)
    zero = filled[np.maximum.reduceat(block.weights, offsets[filled]) == 0]
    if len(zero):
        name = shown(block.names[zero[0]])
        raise ValueError(f"weights of set {name} are all zero; expected a positive sum.")
