"""`SetSampler`: a sample of sets that come in batches, on one machine or on many."""

from __future__ import annotations

import copy
import datetime
import hashlib
import uuid
from collections.abc import Sized
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state, check_scalar

from otk_sklearn._utils.named_tuples import compared_by_identity
from otk_sklearn.sets._collection import (
    SetCollection,
    with_counted_positions,
    with_gaps,
)
from otk_sklearn.sets._names import ColumnLabels, check_names, shown
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._random_keys import element_keys, set_keys, smallest_keys
from otk_sklearn.sets._sampling import longest_sampled, masses_unless_equal, n_sampled
from otk_sklearn.sets._validation import as_sets

if TYPE_CHECKING:
    from otk_sklearn.sets._types import SetsLike


# Key of elements of mass 0, after all others.
_LAST_KEY = np.iinfo(np.uint64).max


class SetSampler:
    """Sample sets that come in batches, in one pass and in bounded memory.

    Which sets are drawn depends on nothing but their ids, the number of all sets and
    `random_state`. So samplers of parts of the data, in other threads or on other machines,
    can be merged, in any order of batches and merges, with the same sample as a result.

    Up to `max_elements` elements, the sample is all sets. Beyond, it is drawn as
    `OTKEmbedding.fit` draws the sets that several references are learned from: all sets
    have the same probability. To have many of them, only so many elements of each are
    drawn: `max_elements / n_sets`, or the square root of `max_elements` if that is more.

    Parameters
    ----------
    max_elements : int, default=100_000
        Maximum number of elements in the sample. As `fit` learns from a sample of this one,
        it should be several times the 20,000 elements that `max_elements="auto"` of
        estimators means at least. Three times as many are held in memory at times.
    filter_size : int, default=1
        As in the estimator that is to learn from the sample. If it is more than 1, the
        elements drawn of a set are consecutive.
    random_state : int, RandomState instance or None, default=None
        Controls which sets and elements are drawn. Only samplers with the same integer can
        be merged. See :term:`Glossary <random_state>`.

    Attributes
    ----------
    n_sets : int
        Number of sets seen so far, without empty ones.
    n_elements : int
        Number of their elements, without those of weight 0.

    See Also
    --------
    iter_sets : Reads batches of sets from long tables and list columns.

    Notes
    -----
    A set is represented by all its elements or by some. If it has no positions, and
    elements of any set are left out, all get their positions in the order of their set,
    for estimators with `position`.

    A sample is what has the smallest hashes of id and seed, as in bottom-k sampling [1]_.

    References
    ----------
    .. [1] E. Cohen and H. Kaplan, "Summarizing Data using Bottom-k Sketches", PODC 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.batches import SetSampler
    >>> rng = np.random.default_rng(0)
    >>> def batches():
    ...     for first in range(0, 5000, 500):
    ...         sets = [rng.normal(size=(rng.integers(1, 60), 3)) for _ in range(500)]
    ...         yield sets, range(first, first + 500)
    >>> sampler = SetSampler(20_000, random_state=0)
    >>> for sets, ids in batches():
    ...     sampler = sampler.update(sets, ids)
    >>> sampler
    SetSampler(max_elements=20000, random_state=0): 5000 sets of 149995 elements seen
    >>> sample = sampler.sample()
    >>> len(sample.values) <= 20_000
    True
    >>> embedding = OTKEmbedding(n_supports=5, random_state=0).fit(sample)
    """

    __module__ = "otk_sklearn.batches"  # where users import it from

    def __init__(
        self,
        max_elements: int = 100_000,
        *,
        filter_size: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        check_scalar(max_elements, "max_elements", Integral, min_val=1)
        check_scalar(filter_size, "filter_size", Integral, min_val=1)
        self.max_elements, self.filter_size = max_elements, filter_size
        self.random_state = random_state
        self.n_sets = self.n_elements = self._n_seen = 0
        self._n_features = self._labels = None
        self._seed = random_state
        if not isinstance(random_state, Integral):
            self._seed = check_random_state(random_state).randint(2**31 - 1)
        elif not 0 <= random_state < 2**32:
            raise ValueError(f"random_state={random_state}; expected 0 to 2**32 - 1.")
        self._parts: tuple[Any, ...] = ()
        self._limit = self._has_ids = None

    def update(self, batch: SetsLike, ids: ArrayLike | None = None) -> Self:
        """Let more sets take part in the sample.

        Parameters
        ----------
        batch : sets
            Any input that `OTKEmbedding.fit` accepts. Empty sets take no part.
        ids : array-like of shape (n_sets,), default=None
            Identify the sets: strings, integers, dates, or tuples of them, unique among
            all sets. None means the names of the sets, or if they have none, their numbers
            in the order in which they come.

        Returns
        -------
        self : SetSampler
            The same sampler. It holds copies of what is in the sample.

        Raises
        ------
        ValueError
            If the batch is not valid, ids are not unique or don't fit, or only some
            batches have them. The sampler is then unchanged.
        """
        if isinstance(batch, Sized) and not len(batch):  # an empty partition
            return self
        sets = as_sets(batch, n_features=self._n_features)
        changed = copy.copy(self)
        changed._add(sets, ids)
        vars(self).update(vars(changed))
        return self

    def merge(self, other: SetSampler) -> SetSampler:
        """Return a sampler of the sets of both.

        Parameters
        ----------
        other : SetSampler
            Of other sets, with the same parameters.

        Returns
        -------
        SetSampler
            As if it had been updated with all batches. Both samplers stay as they are.

        Raises
        ------
        ValueError
            If parameters differ, sets have neither names nor ids, or an id is in both.
        """
        if not isinstance(other, SetSampler):
            raise TypeError(f"other is {type(other).__name__}; expected a SetSampler.")
        for name in ("max_elements", "filter_size", "_seed"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(
                    f"other is {other._described()}, this is {self._described()}; expected "
                    "samplers with the same parameters, random_state being an integer."
                )
        if other._n_features is None:
            return copy.copy(self)
        if self._n_features is None:
            return copy.copy(other)
        if not (self._has_ids and other._has_ids):
            raise ValueError(
                "Sets have neither names nor ids, without which sets of different samplers "
                "are the same to them; expected update(batch, ids), or sets with names."
            )
        merged = copy.copy(self)
        merged.n_sets += other.n_sets
        merged.n_elements += other.n_elements
        limits = {self._limit, other._limit} - {None}
        merged._limit = min(limits, default=None)
        merged._parts = self._parts + other._parts
        merged._compact()
        return merged

    def sample(self) -> SetCollection:
        """Return the sample of the sets so far.

        Returns
        -------
        SetCollection
            In an order that depends on the ids alone, with weights, positions, names and
            feature names as the sets have them.

        Raises
        ------
        ValueError
            If there was no set so far.
        """
        if not self.n_sets:
            raise ValueError("There is no set yet to sample; expected update(batch) first.")
        complete = copy.copy(self)
        complete._compact()
        (part,) = complete._parts
        part = part.take(np.argsort(part.keys, kind="stable"))
        sets, are_cut = part.sets, part.sets.lengths < part.totals
        if not are_cut.any():
            return sets
        positions, are_counted = sets.positions, not sets.positions_given
        if positions is None:
            positions = part.numbers / np.repeat(part.totals, sets.lengths)
        sets = sets.with_values(
            sets.values,
            feature_names=_labels_of(sets),
            offsets=sets.offsets,
            weights=sets.weights,
            positions=positions,
        )
        sets = with_counted_positions(sets, are_counted)
        return with_gaps(sets, self.filter_size == 1)

    def __repr__(self):
        return f"{self._described()}: {self.n_sets} sets of {self.n_elements} elements seen"

    def _described(self):
        filter_size = f", filter_size={self.filter_size}" * (self.filter_size > 1)
        return (
            f"SetSampler(max_elements={self.max_elements}{filter_size}, "
            f"random_state={self.random_state})"
        )

    def _add(self, sets, ids):
        ids = sets.names if ids is None else check_names(ids, len(sets))
        if self._has_ids not in (None, ids is not None):
            raise ValueError(
                "Some batches have names or ids, and some have not; expected all or none."
            )
        self._check_features(sets)
        self._has_ids = ids is not None
        numbers = np.arange(self._n_seen, self._n_seen + len(sets), dtype=np.uint64)
        self._n_seen += len(sets)
        present = np.flatnonzero(sets.lengths)
        if not len(present):
            return
        keys = set_keys(numbers if ids is None else hash_ids(ids), self._seed)[present]
        sets = sets[present]
        masses = masses_unless_equal(sets)
        lengths = sets.lengths
        if masses is not None and self.filter_size == 1:
            lengths = np.add.reduceat(masses > 0, sets.offsets[:-1], dtype=np.int64)
        self.n_sets += len(sets)
        self.n_elements += int(lengths.sum())
        chosen = np.arange(len(sets))
        if self._limit is not None:
            chosen = np.flatnonzero(keys < self._limit)
        if not len(chosen):
            return
        part = _part_of(sets[chosen], keys[chosen])
        if self.filter_size == 1:
            part = part.with_elements(part.element_keys < _LAST_KEY)
        # A copy, even of all: the batch itself is not kept in memory.
        part = part.cut(self._longest, self.filter_size > 1).take(np.arange(len(chosen)))
        part = part.with_names(None if ids is None else ids[present][chosen])
        self._parts = (*self._parts, part)
        if sum(len(part.numbers) for part in self._parts) > 2 * self.max_elements:
            self._compact()

    def _check_features(self, sets):
        """Raise an error unless these sets have the features of those before."""
        labels = _labels_of(sets)
        if self._n_features is None:
            self._n_features, self._labels = sets.n_features, labels
        if sets.n_features != self._n_features:
            raise ValueError(
                f"batch has {sets.n_features} features; expected {self._n_features}, as "
                "batches before."
            )
        if None not in (labels, self._labels) and labels != self._labels:
            raise ValueError(
                f"batch has the feature names {labels}; expected {self._labels}, as "
                "batches before."
            )

    @property
    def _longest(self):
        """Number of elements to keep of a set, at most; None if it is not limited."""
        if self.n_elements <= self.max_elements:
            return None
        return longest_sampled(self.max_elements, self.n_sets)

    def _compact(self):
        """Join the parts into one, and leave out what is no longer in the sample."""
        if not self._parts:
            return
        part = _joined(self._parts).cut(self._longest, self.filter_size > 1)
        order = np.argsort(part.keys, kind="stable")
        if self._limit is not None:  # that of another sampler, after a merge
            order = order[part.keys[order] < self._limit]
        kept = order[: n_sampled(part.sets.lengths[order], self.max_elements)]
        if len(kept) < len(order):
            self._limit = part.keys[order[len(kept)]]
        if len(kept) < len(part.keys):
            part = part.take(np.sort(kept))
        self._parts = (part,)


@compared_by_identity
class _Part(NamedTuple):
    """Sets that may be in the sample.

    Parameters
    ----------
    sets : SetCollection
        With their ids as names, if they have any.
    keys : ndarray of uint64 of shape (n_sets,)
    totals : ndarray of int of shape (n_sets,)
        Number of elements of each set before any were left out.
    numbers : ndarray of int of shape (n_elements,)
        Of elements in their sets, before any were left out.
    element_keys : ndarray of uint64 of shape (n_elements,)
    """

    sets: SetCollection
    keys: np.ndarray
    totals: np.ndarray
    numbers: np.ndarray
    element_keys: np.ndarray

    def take(self, chosen):
        """Return some of the sets, in this order."""
        starts, lengths = self.sets.offsets[chosen], self.sets.lengths[chosen]
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return self._take(chosen, rows, offsets)

    def cut(self, longest, consecutive):
        """Return these sets with at most so many elements of each.

        Parameters
        ----------
        longest : int or None
        consecutive : bool
            Whether to take elements that follow one another. Those that are left after
            another cut are the same as if this had been the first one.
        """
        if longest is None or self.sets.lengths.max() <= longest:
            return self
        offsets, is_kept = self.sets.offsets, np.ones(len(self.numbers), bool)
        for s in np.flatnonzero(self.sets.lengths > longest):
            rows = slice(offsets[s], offsets[s + 1])
            keys = self.element_keys[rows]
            if consecutive:
                # Around the element of the smallest key, in proportion to its place.
                numbers, total = self.numbers[rows], self.totals[s]
                first = numbers[keys.argmin()] * (total - longest) // (total - 1)
                kept = np.arange(longest) + first - numbers[0]
            else:
                kept = smallest_keys(keys, longest)
            is_kept[rows] = False
            is_kept[rows.start + kept] = True
        return self.with_elements(is_kept)

    def with_elements(self, is_kept):
        """Return these sets with some of their elements, at least one of each."""
        lengths = np.add.reduceat(is_kept, self.sets.offsets[:-1], dtype=np.int64)
        return self._take(slice(None), np.flatnonzero(is_kept), offsets_of(lengths))

    def with_names(self, names):
        """Return these sets with other names, or without."""
        sets = SetCollection(
            self.sets.values,
            self.sets.offsets,
            weights=self.sets.weights,
            positions=self.sets.positions,
            names=names,
            feature_names=_labels_of(self.sets),
        )
        return self._replace(sets=sets)

    def _take(self, chosen, rows, offsets):
        weights, positions, names = self.sets.weights, self.sets.positions, self.sets.names
        sets = SetCollection(
            self.sets.values[rows],
            offsets,
            weights=None if weights is None else weights[rows],
            positions=None if positions is None else positions[rows],
            names=None if names is None else names[chosen],
            feature_names=_labels_of(self.sets),
        )
        of_sets, of_elements = (self.keys, self.totals), (self.numbers, self.element_keys)
        return _Part(
            sets,
            *(array[chosen] for array in of_sets),
            *(array[rows] for array in of_elements),
        )


def _part_of(sets, keys):
    """Return sets of a batch with all their elements, and with random keys of these."""
    masses, lengths = masses_unless_equal(sets), sets.lengths
    numbers = np.arange(len(sets.values)) - np.repeat(sets.offsets[:-1], lengths)
    if masses is None:
        of_elements = element_keys(np.repeat(keys, lengths), numbers)
    else:
        of_elements = np.full(len(masses), _LAST_KEY)
        present = np.flatnonzero(masses)
        starts = np.searchsorted(present, sets.offsets)
        n_present = np.diff(starts)
        ranks = np.arange(len(present)) - np.repeat(starts[:-1], n_present)
        of_elements[present] = element_keys(np.repeat(keys, n_present), ranks)
    return _Part(sets, keys, lengths, numbers, of_elements)


def _labels_of(sets):
    """Return the labels of columns as the constructor of collections takes them."""
    labels = sets.column_labels
    return None if labels is None else ColumnLabels(labels.tolist())


def _joined(parts):
    sets, *arrays = zip(*parts)
    _check_distinct(sets, np.concatenate(arrays[0]))
    sets = sets[0] if len(sets) == 1 else SetCollection.concatenate(sets)
    return _Part(sets, *map(np.concatenate, arrays))


def _check_distinct(collections, keys):
    """Raise an error if the key of a set comes twice: then its id does."""
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if len(again):
        names = np.concatenate([sets.names.astype(object) for sets in collections])
        raise ValueError(
            f"ids has {shown(names[order[again + 1].min()])} twice, in different batches; "
            "expected a unique id of each set. If a set was cut in two, iter_sets joins "
            "its rows."
        )


def hash_ids(ids):
    """Return 64-bit hashes of ids that are the same on every machine.

    Parameters
    ----------
    ids : ndarray of shape (n_ids,)
        Equal ids have equal hashes, whatever the dtype of the array.

    Returns
    -------
    ndarray of uint64 of shape (n_ids,)
    """
    if ids.dtype.kind in "iu" and not (ids.dtype == np.uint64 and (ids >> 63).any()):
        return ids.astype(np.int64).view(np.uint64)
    return np.array([_hash(label) for label in ids.tolist()], np.uint64)


def _hash(label):
    """Return a 64-bit hash of a label."""
    if isinstance(label, float) and label.is_integer():  # equal to Python's integer
        label = int(label)
    if type(label) is int and -(2**63) <= label < 2**63:
        return label % 2**64
    digest = hashlib.blake2b(_as_bytes(label), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _as_bytes(label):
    """Return bytes that differ for labels that differ, of types that differ, too."""
    if isinstance(label, tuple):
        parts = [_hash(part).to_bytes(8, "little") for part in label]
        return b"tuple" + b"".join(parts)
    if isinstance(label, str):
        return b"str" + label.encode("utf-8", "surrogatepass")
    if isinstance(label, bytes):
        return b"bytes" + label
    if isinstance(label, datetime.datetime) and label.tzinfo is not None:
        label = label.astimezone(datetime.UTC).replace(tzinfo=None)
        return b"UTC" + str(np.datetime64(label, "ns")).encode()
    if isinstance(label, datetime.date | np.datetime64):
        return b"date" + str(np.datetime64(label, "ns")).encode()
    if isinstance(label, datetime.timedelta | np.timedelta64):
        return b"timedelta" + str(np.timedelta64(label, "ns")).encode()
    if isinstance(label, bool | int | float | uuid.UUID):
        return f"{type(label).__name__}{label!r}".encode()
    raise TypeError(
        f"ids has {label!r} of type {type(label).__name__}; expected strings, numbers, "
        "dates, or tuples of them: [str(label) for label in ids], say."
    )
