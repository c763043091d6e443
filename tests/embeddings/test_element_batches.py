"""`ElementTransformer.partial_fit`: elements that come in batches."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection


def make_batches(n_batches=4, n_sets=6, n_features=3):
    rng = np.random.default_rng(0)
    return [
        [rng.normal(2, 3, size=(rng.integers(4, 9), n_features)) for _ in range(n_sets)]
        for _ in range(n_batches)
    ]


@pytest.mark.parametrize(
    "transformer",
    [StandardScaler(), MinMaxScaler(), IncrementalPCA(2), MiniBatchKMeans(3, n_init=1)],
    ids=lambda transformer: type(transformer).__name__,
)
def test_batches_reach_the_transformer_as_tables(transformer):
    if hasattr(transformer, "random_state"):
        transformer.random_state = 0
    batches = make_batches()
    model, expected = ElementTransformer(transformer), clone(transformer)
    for batch in batches:
        assert model.partial_fit(batch) is model
        expected.partial_fit(np.vstack(batch))
    result = model.transform(batches[0])
    assert_array_equal(result.values, expected.transform(np.vstack(batches[0])))
    assert not hasattr(transformer, "n_features_in_")  # it was cloned


def test_scaling_in_batches_is_that_of_all_data():
    batches = make_batches()
    joined = [x for batch in batches for x in batch]
    weights = np.random.default_rng(1).uniform(size=len(joined))
    model = ElementTransformer(StandardScaler())
    for batch, w in zip(batches, np.split(weights, len(batches))):
        model.partial_fit(batch, sample_weight=w)
    at_once = ElementTransformer(StandardScaler()).fit(joined, sample_weight=weights)
    for name in ["mean_", "var_", "scale_", "n_samples_seen_"]:
        expected = getattr(at_once.transformer_, name)
        assert_allclose(getattr(model.transformer_, name), expected, rtol=1e-12)


def test_going_on_after_fit():
    first, second, *_ = make_batches()
    model = ElementTransformer(StandardScaler()).fit(first)
    fitted = model.transformer_
    mean = fitted.mean_.copy()
    model.partial_fit(second)
    assert_array_equal(fitted.mean_, mean)  # which others may hold
    expected = np.vstack(first + second).mean(axis=0)
    assert_allclose(model.transformer_.mean_, expected, rtol=1e-12)
    model.fit(second)  # starts anew
    assert_allclose(model.transformer_.mean_, np.vstack(second).mean(axis=0), rtol=1e-12)


def test_it_is_there_if_the_transformer_has_it():
    assert hasattr(ElementTransformer(StandardScaler()), "partial_fit")
    for transformer in [PCA(2), "passthrough"]:
        assert not hasattr(ElementTransformer(transformer), "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        ElementTransformer(PCA(2)).partial_fit(make_batches()[0])


def test_labels_reach_the_elements():
    class Labels(SGDClassifier):
        def partial_fit(self, X, y=None):
            self.seen_ = np.array(y)
            return self

        def transform(self, X):
            return X

    batch = make_batches()[0]
    y = np.arange(len(batch))
    model = ElementTransformer(Labels()).partial_fit(batch, y)
    assert_array_equal(model.transformer_.seen_, np.repeat(y, [len(x) for x in batch]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.partial_fit(batch, y[1:])


def test_elements_of_weight_zero_and_a_sample_of_each_batch():
    batch = SetCollection(
        np.array([[1.0], [1e9], [3.0], [5.0]]), [0, 2, 4], weights=[1, 0, 2, 1]
    )
    model = ElementTransformer(StandardScaler()).partial_fit(batch)
    assert model.transformer_.mean_ == [3.0]
    model = ElementTransformer(StandardScaler(), max_elements=10, random_state=0)
    for batch in make_batches():
        model.partial_fit(batch)
    assert model.transformer_.n_samples_seen_ == 40


def wrong_calls():
    batch = make_batches()[0]
    nan = copy.deepcopy(batch)
    nan[2][1, 0] = np.inf
    named = [pd.DataFrame(x, columns=list("abc")) for x in batch]
    renamed = [pd.DataFrame(x, columns=list("abd")) for x in batch]
    weights = np.ones(len(batch))
    return {
        "infinity": (batch, (nan,), r"X contains infinity \(inf\) in set 2 .element 1, "),
        "features": (
            batch,
            ([x[:, :2] for x in batch],),
            "X has 2 features, but ElementTransformer is expecting 3 features",
        ),
        "names": (named, (renamed,), "The feature names should match those"),
        "one table": (batch, (batch[0],), "X is 2-D, and ElementTransformer was fitted on"),
        "no set": (batch, ([],), "X is an empty collection; expected at least one set"),
        "no element": (batch, ([np.empty((0, 3))],), "set 0 of X is empty or has a weight"),
        "weights": (batch, (batch, None, weights[1:]), "sample_weight.shape == "),
    }


@pytest.mark.parametrize("name", wrong_calls())
def test_errors_leave_it_unchanged(name):
    batch, call, message = wrong_calls()[name]
    model = ElementTransformer(StandardScaler()).partial_fit(batch)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*call)
    assert vars(model) == before
    unfitted = ElementTransformer(StandardScaler())
    if name in ("infinity", "no set", "no element", "weights"):
        with pytest.raises(ValueError, match=message):
            unfitted.partial_fit(*call)
        assert not hasattr(unfitted, "transformer_")


def test_weights_that_are_not_accepted():
    batch = make_batches()[0]
    model = ElementTransformer(IncrementalPCA(2)).partial_fit(batch)
    message = "PCA.* does not accept it; expected a transformer whose partial_fit does"
    with pytest.raises(ValueError, match=message):
        model.partial_fit(batch, sample_weight=np.ones(len(batch)))
    with pytest.raises(ValueError, match="ElementTransformer.partial_fit is only supp"):
        model.partial_fit(batch, other=1)


def test_weights_are_routed():
    batch = make_batches()[0]
    weights = np.arange(1.0, 1 + len(batch))
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_partial_fit_request(sample_weight="of_sets")
        model = ElementTransformer(scaler).partial_fit(batch, of_sets=weights)
    repeated = np.repeat(weights, [len(x) for x in batch])
    expected = np.average(np.vstack(batch), axis=0, weights=repeated)
    assert_allclose(model.transformer_.mean_, expected, rtol=1e-12)


def test_names_of_features_are_those_of_the_first_batch():
    batches = [
        [pd.DataFrame(x, columns=list("abc")) for x in batch] for batch in make_batches()
    ]
    model = ElementTransformer(StandardScaler())
    for batch in batches:
        model.partial_fit(batch)
    assert model.feature_names_in_.tolist() == list("abc")
    assert model.n_features_in_ == 3
    assert model.get_feature_names_out().tolist() == list("abc")


def test_sets_of_one_element_may_be_followed_by_longer_ones():
    table = np.arange(12.0).reshape(4, 3)
    model = ElementTransformer(StandardScaler()).partial_fit(table[:, np.newaxis])
    model.transform(table)  # rows are sets
    model.partial_fit([table, table])
    with pytest.raises(ValueError, match=r"X is 2-D, and ElementTransformer was fitted"):
        model.transform(table)


def test_compressed_output_in_batches():
    """IncrementalPCA after an embedding never sees more than the embeddings of a batch."""
    batches = make_batches(n_batches=5, n_sets=20)
    scaler, compression = ElementTransformer(StandardScaler()), IncrementalPCA(4)
    for batch in batches:
        scaler.partial_fit(batch)
    embedding = OTKEmbedding(2, n_components=6, random_state=0)
    embedding.fit(scaler.transform(batches[0]))

    def embed(batch):
        return embedding.transform(scaler.transform(batch))

    for batch in batches:
        compression.partial_fit(embed(batch))
    embeddings = np.vstack([embed(batch) for batch in batches])
    compressed = compression.transform(embeddings)
    assert compressed.shape == (100, 4)
    best = PCA(4).fit(embeddings)
    kept = compressed.var(axis=0).sum() / best.transform(embeddings).var(axis=0).sum()
    assert 0.95 < kept <= 1 + 1e-9
