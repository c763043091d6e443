"""Samples of sets that come in batches: against a plain version, in any order, uniform."""

import datetime
import pickle
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chisquare
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKEmbedding,
    SetCollection,
)
from otk_sklearn.batches import SetSampler
from otk_sklearn.batches._sampler import hash_ids
from otk_sklearn.embeddings import _elements
from otk_sklearn.sets._sampling import sample_elements, sample_sets

MASK = 2**64 - 1


def splitmix(bits):
    """SplitMix64's finalizer, in Python's integers."""
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & MASK
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & MASK
    return bits ^ bits >> 31


def plain_keys(number, length, seed):
    """The keys of a set, and of its elements."""
    golden = 0x9E3779B97F4A7C15
    key = splitmix((splitmix((number + golden) & MASK) + splitmix(seed)) & MASK)
    return key, [splitmix((key + (i + 1) * golden) & MASK) for i in range(length)]


def plain_sample(lengths, max_elements, seed, filter_size=1):
    """Numbers of the sampled sets, by key, and those of their elements."""
    keys = [plain_keys(number, length, seed) for number, length in enumerate(lengths)]
    present = [s for s in range(len(lengths)) if lengths[s]]
    longest = max(lengths)
    if sum(lengths) > max_elements:
        longest = max(max_elements // len(present), int(max_elements**0.5))
    sample, total = [], 0
    for s in sorted(present, key=lambda s: keys[s]):
        of_elements, n = keys[s][1], min(lengths[s], longest)
        total += n
        if total > max_elements:
            break
        chosen = sorted(sorted(range(lengths[s]), key=of_elements.__getitem__)[:n])
        if filter_size > 1 and n < lengths[s]:
            pivot = of_elements.index(min(of_elements))
            first = pivot * (lengths[s] - n) // (lengths[s] - 1)
            chosen = list(range(first, first + n))
        sample.append((s, chosen))
    return sample


def make(lengths, seed=0, n_features=2, **parts):
    values = np.random.default_rng(seed).standard_normal((sum(lengths), n_features))
    return SetCollection(values, np.concatenate([[0], np.cumsum(lengths)]), **parts)


def updated(sets, order, **params):
    """A sampler that is given slices of sets in this order."""
    sampler = SetSampler(**params)
    for part in order:
        sampler.update(sets[part])
    return sampler


def assert_equal_sets(a, b):
    assert_array_equal(a.values, b.values)
    assert_array_equal(a.offsets, b.offsets)
    for name in ("weights", "positions", "names", "feature_names", "rows"):
        if getattr(a, name) is None:
            assert getattr(b, name) is None
        else:
            assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("filter_size", [1, 3])
@pytest.mark.parametrize("max_elements", [1, 30, 300, 10_000])
@pytest.mark.parametrize("longest", [20, 200])
def test_sample_is_the_plain_one(max_elements, longest, filter_size):
    lengths = np.random.default_rng(0).integers(longest, size=40).tolist()
    sets = make(lengths)
    sample = SetSampler(max_elements, filter_size=filter_size, random_state=5)
    sample = sample.update(sets[:7]).update(sets[7:]).sample()
    expected = plain_sample(lengths, max_elements, 5, filter_size)
    assert len(sample) == len(expected)
    for elements, (s, chosen) in zip(sample, expected):
        assert_array_equal(elements, sets[s][chosen])
    if sum(lengths) > max_elements:
        positions = [np.divide(chosen, lengths[s]) for s, chosen in expected]
        assert_allclose(sample.positions.ravel(), np.concatenate(positions), rtol=1e-15)


def test_fit_draws_the_same_sets_and_elements():
    lengths = np.random.default_rng(1).integers(1, 300, size=60).tolist()
    sets = make(lengths)
    drawn, _ = sample_sets(sets, None, 900, 1, 5, np.ones(60))
    sample = SetSampler(900, random_state=5).update(sets).sample()
    assert sorted(map(bytes, drawn)) == sorted(map(bytes, sample))
    keys = [key for s, n in enumerate(lengths) for key in plain_keys(s, n, 5)[1]]
    elements = sample_elements(sets, None, 500, 5)
    chosen = np.argsort(np.array(keys, np.uint64))[:500]
    assert set(map(bytes, elements.rows)) == set(map(bytes, sets.values[chosen]))


def merged(samplers, rng):
    samplers = list(samplers)
    while len(samplers) > 1:
        first, second = (samplers.pop(rng.integers(len(samplers))) for _ in range(2))
        samplers.append(first.merge(second))
    return samplers[0]


@given(
    lengths=st.lists(st.integers(0, 60), min_size=2, max_size=40).filter(any),
    max_elements=st.integers(1, 600),
    filter_size=st.sampled_from([1, 2]),
    kind=st.sampled_from(["plain", "weights", "positions"]),
    seed=st.integers(0, 2**31),
)
@example(
    # A set that one sampler has left out comes before a shorter one of the other.
    lengths=[0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0],
    max_elements=5,
    filter_size=1,
    kind="plain",
    seed=11642,
)
@settings(max_examples=150, deadline=None)
def test_any_order_of_batches_and_merges(lengths, max_elements, filter_size, kind, seed):
    rng = np.random.default_rng(seed)
    parts = {"names": [f"set {s}" for s in range(len(lengths))]}
    if kind == "weights":
        weights = rng.integers(1, 3, sum(lengths)) * (rng.random(sum(lengths)) < 0.8)
        starts = np.concatenate([[0], np.cumsum(lengths)])[:-1][np.array(lengths) > 0]
        weights[starts + rng.integers(np.array(lengths)[np.array(lengths) > 0])] = 1
        parts["weights"] = weights
    if kind == "positions":
        parts["positions"] = rng.random((sum(lengths), 2))
    sets = make(lengths, seed, **parts)
    params = {
        "max_elements": max_elements,
        "filter_size": filter_size,
        "random_state": seed % 2**32,
    }
    cuts = np.sort(rng.integers(0, len(sets), 4))
    bounds = np.concatenate([[0], cuts, [len(sets)]])
    order = [slice(*pair) for pair in zip(bounds[:-1], bounds[1:])]
    at_once = SetSampler(**params).update(sets)
    shuffled = updated(sets, rng.permutation(np.array(order, object)), **params)
    of_parts = merged((updated(sets, [part], **params) for part in order), rng)
    for sampler in (shuffled, of_parts):
        assert (sampler.n_sets, sampler.n_elements) == (at_once.n_sets, at_once.n_elements)
        assert_equal_sets(at_once.sample(), sampler.sample())
    sample = at_once.sample()
    assert len(sample.values) <= max_elements or at_once.n_elements <= max_elements
    for i, name in enumerate(sample.names):  # what is in it belongs together
        original = sets[[list(sets.names).index(name)]]
        rows = [np.flatnonzero((original.values == x).all(axis=1))[0] for x in sample[i]]
        assert_array_equal(np.diff(rows) > 0, True)
        of_set = slice(*sample.offsets[i : i + 2])
        if kind == "weights":
            assert_array_equal(sample.weights[of_set], original.weights[rows])
            assert filter_size > 1 or sample.weights[of_set].all()
        if kind == "positions":
            assert_array_equal(sample.positions[of_set], original.positions[rows])


def assert_uniform(counts, n_draws, n_drawn):
    """By chi-square, of draws without replacement, whose counts vary less than others."""
    assert counts.sum() == n_draws * n_drawn
    shrink = np.sqrt(1 - n_drawn / len(counts))
    mean = counts.mean()
    assert chisquare(mean + (counts - mean) / shrink).pvalue > 1e-3


def test_all_sets_and_elements_have_the_same_probability():
    """Of sets of 40 elements: 12 of 60, and 20 elements of each; names are no numbers."""
    names = [f"patient {s}" for s in range(60)]
    sets = SetCollection(np.arange(2400.0)[:, np.newaxis], range(0, 2401, 40), names=names)
    of_sets, of_elements = np.zeros(60), np.zeros(2400)
    for seed in range(400):
        sample = SetSampler(400, random_state=seed).update(sets).sample()
        assert_array_equal(sample.lengths, 20)
        rows = sample.values.ravel().astype(int)
        of_elements[rows] += 1
        of_sets[np.unique(rows // 40)] += 1
    assert_uniform(of_sets, 400, 20)
    assert_uniform(of_elements, 400, 400)
    of_places = of_elements.reshape(60, 40).sum(axis=0)
    assert chisquare(of_places).pvalue > 1e-3


def test_elements_that_fit_learns_from_have_the_same_probability():
    lengths = [1, 5, 200, 30, 64]
    sets = SetCollection(np.arange(300.0)[:, np.newaxis], np.cumsum([0, *lengths]))
    counts, pairs = np.zeros(300), np.zeros((300, 300))
    for seed in range(1000):
        rows = sample_elements(sets, None, 60, seed).rows.ravel().astype(int)
        counts[rows] += 1
        pairs[np.ix_(rows, rows)] += 1
    assert_uniform(counts, 1000, 60)
    # Pairs, too: of 60 of 300, each with probability 60 / 300 * 59 / 299.
    together = pairs[np.triu_indices(300, 1)]
    expected = 1000 * 60 / 300 * 59 / 299
    assert_allclose(together.mean(), expected, rtol=1e-12)
    assert_allclose(together.var(), expected * (1 - expected / 1000), rtol=0.03)


def test_positions_that_a_sample_counts_are_not_given():
    """A model of the sample embeds whole sets, without a warning."""
    sets = make([100, 100], n_features=2)
    model = OTKEmbedding(2, n_components=4, position="gaussian", random_state=0)
    for filter_size in [1, 3]:
        sampler = SetSampler(50, filter_size=filter_size, random_state=0).update(sets)
        sample = sampler.sample()
        for X in [sample, sample[:1], pickle.loads(pickle.dumps(sample))]:
            assert X.positions is not None
            assert not X.positions_given
            model.fit(X).transform(sets)
    counted = SetCollection(sets.values, sets.offsets, positions=np.ones(200) / 2)
    assert SetSampler(50, random_state=0).update(counted).sample().positions_given


def test_sample_keeps_what_sets_carry():
    sets = make([3, 0, 2], names=["b", "c", "a"], feature_names=["x", "y"], n_features=2)
    sample = SetSampler(random_state=0).update(sets.astype("float32")).sample()
    assert sorted(sample.names) == ["a", "b"]
    assert sample.feature_names.tolist() == ["x", "y"]
    assert sample.dtype == np.float32
    assert not sample.has_gaps
    assert sample.positions is None
    for name, elements in zip(sample.names, sample):
        assert_array_equal(elements, sets[sets.names.tolist().index(name)].astype("f4"))


def test_memory_is_bounded_whatever_passes_by():
    sampler = SetSampler(1000, random_state=0)
    for batch in range(60):
        sampler.update(np.random.default_rng(batch).standard_normal((50, 100, 4)))
    assert (sampler.n_sets, sampler.n_elements) == (3000, 300_000)
    assert len(pickle.dumps(sampler)) < 3 * 1000 * 8 * 8
    one = SetSampler(1000, random_state=0).update([np.zeros((200_000, 4))])
    assert len(pickle.dumps(one)) < 3 * 1000 * 8 * 8


def test_batches_are_copied():
    values = np.zeros((4, 2))
    sampler = SetSampler(random_state=0).update(SetCollection(values, [0, 4]))
    values[:] = 1
    assert not sampler.sample().values.any()


@pytest.mark.parametrize(
    "labels",
    [
        (np.array([3, -1], np.int32), np.array([3, -1]), [3, -1], [3.0, -1.0]),
        (["b", "a"], np.array(["b", "a"], object), pd.Index(["b", "a"])),
        ([("a", 1), ("b", 2)], pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        (
            np.array(["2020-01-01", "2020-01-02"], "M8[D]"),
            np.array(["2020-01-01", "2020-01-02"], "M8[ns]"),
            [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2)],
        ),
    ],
)
def test_equal_ids_are_equal_whatever_holds_them(labels):
    samples = [
        SetSampler(8, random_state=0).update(np.arange(20.0).reshape(2, 5, 2), ids).sample()
        for ids in labels
    ]
    for sample in samples:
        assert_array_equal(sample.values, samples[0].values)


def test_hashes_of_ids_are_the_same_on_every_machine():
    ids = np.empty(6, object)
    ids[:] = ["a", 5, ("a", 5), b"a", True, uuid.UUID(int=1)]
    assert hash_ids(ids).tolist() == [
        13439103749166068053,
        5,
        15230587412818957675,
        10969947131884446857,
        5867846881308002553,
        5393969198199353677,
    ]
    assert hash_ids(np.array([2**63, 5], np.uint64))[1] == 5


def test_samples_don_t_depend_on_what_is_drawn_elsewhere():
    random = np.random.RandomState(0)
    first = SetSampler(10, random_state=random).update(make([9, 9, 9])).sample()
    again = SetSampler(10, random_state=np.random.RandomState(0)).update(make([9, 9, 9]))
    assert_equal_sets(first, again.sample())


def test_windows_of_a_sample_need_consecutive_elements():
    sets = [np.arange(200.0).reshape(100, 2), np.ones((100, 2))]
    sample = SetSampler(50, random_state=0).update(sets).sample()
    assert sample.has_gaps
    message = r"X has only some of the elements of some sets, and filter_size=3 needs neigh"
    for X in [sample, sample[:1], pickle.loads(pickle.dumps(sample))]:
        assert X.has_gaps
        with pytest.raises(ValueError, match=message):
            OTKEmbedding(n_supports=2, n_components=4, filter_size=3).fit(X)
    with pytest.raises(ValueError, match="subsampling=2 needs neighbours"):
        ConvolutionalKernelLayer(4, filter_size=1, subsampling=2).fit(sample).transform(
            sample
        )
    joined = SetCollection.concatenate([SetCollection.from_sets(sets), sample])
    assert joined.has_gaps
    sample = SetSampler(50, filter_size=3, random_state=0).update(sets).sample()
    assert not sample.has_gaps
    for elements, positions in zip(sample, np.split(sample.positions, 2)):
        if len(np.unique(elements)) > 1:
            assert_array_equal(np.diff(elements[:, 0]), 2)
        assert_allclose(np.diff(positions.ravel()), 0.01)
    OTKEmbedding(n_supports=2, n_components=4, filter_size=3, position="gaussian").fit(
        sample
    ).transform(sets)


def test_errors_leave_the_sampler_as_it_was():
    sampler = SetSampler(20, random_state=0)
    sampler.update(make([3, 4], names=["a", "b"], feature_names=["x", "y"]))
    before = pickle.dumps(sampler)
    bad = [
        ([[[0.0, 1.0]]], None, "Some batches have names or ids, and some have not"),
        ([[[0.0]]], ["c"], "batch has 1 features; expected 2"),
        (make([1], names=["c"], feature_names=["y", "x"]), None, "feature names"),
        ([[[0.0, 1.0]]], ["c", "d"], "names has 2 entries; expected one a set, 1"),
        ([[[0.0, 1.0]]], [object()], "expected strings, numbers, dates, or tuples"),
        ([["a"]], None, "numbers"),
    ]
    for batch, ids, message in bad:
        with pytest.raises((ValueError, TypeError), match=message):
            sampler.update(batch, ids)
        assert pickle.dumps(sampler) == before
    again = make([3], names=["a"], feature_names=["x", "y"])
    with pytest.raises(ValueError, match="ids has 'a' twice, in different batches"):
        sampler.update(again).sample()


def test_samplers_that_do_not_fit_together():
    sets = make([3, 4], names=["a", "b"])
    sampler = SetSampler(20, random_state=0).update(sets)
    for other in [
        SetSampler(21, random_state=0),
        SetSampler(20, filter_size=2, random_state=0),
        SetSampler(20, random_state=1),
        SetSampler(20),
    ]:
        with pytest.raises(ValueError, match="samplers with the same parameters"):
            sampler.merge(other)
    with pytest.raises(TypeError, match="other is list; expected a SetSampler"):
        sampler.merge([sampler])
    with pytest.raises(ValueError, match="ids has 'a' twice, in different batches"):
        sampler.merge(sampler)
    unnamed = SetSampler(20, random_state=0).update(make([3]))
    with pytest.raises(ValueError, match="neither names nor ids"):
        unnamed.merge(unnamed)
    empty = SetSampler(20, random_state=0)
    with pytest.raises(ValueError, match="no set yet to sample"):
        empty.sample()
    for merged_with_none in (empty.merge(sampler), sampler.merge(empty.update([]))):
        assert_equal_sets(merged_with_none.sample(), sampler.sample())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_elements": 0}, "max_elements == 0, must be >= 1"),
        ({"max_elements": 2.5}, "max_elements must be an instance of int"),
        ({"filter_size": 0}, "filter_size == 0, must be >= 1"),
        ({"random_state": -1}, "random_state=-1; expected 0 to 2"),
        ({"random_state": "a"}, "'a' cannot be used to seed"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SetSampler(**params)


@pytest.mark.parametrize("max_elements", [20, 10**6])
def test_sets_that_are_computed_on_demand(max_elements, monkeypatch):
    sets = make([3, 40, 5], names=["a", "b", "c"], feature_names=["x", "y"])
    scaler = ElementTransformer(StandardScaler()).fit(sets)
    expected = SetSampler(max_elements, random_state=0).update(scaler.transform(sets))
    monkeypatch.setattr(_elements, "MAX_COMPUTED_BYTES", 0)
    sampler = SetSampler(max_elements, random_state=0)
    for part in (sets[:2], sets[2:]):
        sampler.update(scaler.transform(part))
    assert_equal_sets(sampler.sample(), expected.sample())
    ids = SetSampler(max_elements, random_state=0).update(scaler.transform(sets), [1, 2, 3])
    assert sorted(ids.sample().names) == [1, 2, 3]
