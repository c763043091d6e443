"""Layers in what PyTorch, PyTorch Geometric and skorch do with modules."""

import copy
import io
import pickle
import threading

import numpy as np
import pytest
import torch
from plain_layers import ragged
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch import nn

from otk_sklearn import ElementTransformer, SetCollection
from otk_sklearn.torch import (
    KernelFeatures,
    OTKPooling,
    SetSequential,
    as_aggregation,
    collate_sets,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SetSequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        KernelFeatures(4, 6, kernel="homogeneous", filter_size=2),
        OTKPooling(6, 3, position="gaussian"),
        nn.Flatten(),
        nn.Linear(18, 2),
    )


def test_stored_and_copied(network):
    x, index = ragged(dtype=torch.float32)
    expected = network(x, index)
    stored = io.BytesIO()
    torch.save(network.state_dict(), stored)
    stored.seek(0)
    torch.manual_seed(1)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    assert not torch.equal(other(x, index), expected)
    other.load_state_dict(torch.load(stored))
    assert torch.equal(other(x, index), expected)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x, index), expected)
    names = {"raw_anchors", "initial_gamma", "log_gamma_change", "references"}
    assert names < {name.split(".")[-1] for name in network.state_dict()}


def test_representation_shows_what_is_not_usual(network):
    assert "OTKPooling(6, 3, epsilon=0.1, position='gaussian', position_sigma=0.1)" in repr(
        network
    )
    assert "kernel='homogeneous', gamma=1, damping=0.01, filter_size=2)" in repr(network)
    assert repr(OTKPooling(2, 3, solver="softmax", n_references=2)) == (
        "OTKPooling(2, 3, n_references=2, epsilon=0.1, solver='softmax')"
    )


def test_training_reduces_a_loss(network):
    """Sets of two kinds, told apart by one of their elements."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    sets = [rng.normal(size=(rng.integers(3, 9), 3)).astype(np.float32) for _ in y]
    for elements, label in zip(sets, y):
        elements[0] = [4, -4, 4] if label else [-4, 4, 4]
    inputs, labels = collate_sets(list(zip(sets, y)))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(**inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    anchors = network[2].anchors
    assert torch.allclose(anchors.norm(dim=1), torch.ones(6))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["index", "mask", "batch"])
def test_compiled_without_graph_breaks(network, form):
    if form == "index":
        x, index = ragged(dtype=torch.float32)
        inputs = {"x": x, "index": index, "dim_size": 4}
    else:
        inputs = {"x": torch.randn(4, 9, 3)}
        if form == "mask":
            inputs["mask"] = torch.rand(4, 9) < 0.5
    whole = network
    if form == "index":  # packed windows are as many as data say
        whole = SetSequential(*network[:2], KernelFeatures(4, 6), *network[3:])
    expected = whole(**inputs)
    expected.square().sum().backward()
    slopes = {name: p.grad.clone() for name, p in whole.named_parameters()}
    whole.zero_grad()
    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")
    out = compiled(**inputs)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parameter.grad, slopes[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_exported(network):
    """Whitening is computed from the anchors, also in what was exported before."""
    x, mask = torch.randn(4, 9, 3), torch.rand(4, 9) < 0.5
    sizes = {0: torch.export.Dim("batch")}
    program = torch.export.export(
        network, (x,), {"mask": mask}, dynamic_shapes={"x": sizes, "mask": sizes}
    )
    x, mask = torch.randn(7, 9, 3), torch.rand(7, 9) < 0.5
    torch.testing.assert_close(program.module()(x, mask=mask), network(x, mask=mask))


def test_operators_are_sound():
    """The fake operator, and the registration of the gradient, by PyTorch's own check."""
    from otk_sklearn.torch import _operators

    x, index = ragged((2, 4), dtype=torch.float32)
    inputs = (
        x.requires_grad_(),
        torch.randn(2, 3, 3, requires_grad=True),
        torch.tensor([0, 2, 6]),
        (torch.ones(6, dtype=torch.float64) / torch.tensor([2, 4])[index]),
        None,
        *("sinkhorn", 0.5, None, 20, 0.0, None),
    )
    results = torch.library.opcheck(_operators._embed, inputs)
    assert set(results.values()) == {"SUCCESS"}


class Sets(torch.utils.data.Dataset):
    """Sets with labels; each item is pooled where it is loaded."""

    def __init__(self, pooling=None):
        self.pooling = pooling

    def __len__(self):
        return 12

    def __getitem__(self, i):
        x = torch.full((i % 4 + 1, 3), float(i))
        if self.pooling is not None:
            with torch.no_grad():
                return self.pooling(x[None])[0]
        return x, i


def test_without_memory():
    """Modules on the meta device say what they are, and what shape their output has."""
    features = KernelFeatures(3, 4, gamma=0.7, device="meta")
    assert "gamma=0.7" in repr(features)
    empty = features.to_empty(device="cpu")
    empty.reset_parameters()
    assert empty.gamma.item() == pytest.approx(0.7)
    out = OTKPooling(3, 4, device="meta")(torch.empty(2, 5, 3, device="meta"))
    assert out.shape == (2, 4, 3)


def test_data_loader():
    loader = torch.utils.data.DataLoader(Sets(), batch_size=5, collate_fn=collate_sets)
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [5, 5, 2]
    inputs, labels = batches[1]
    assert labels.tolist() == [5, 6, 7, 8, 9]
    assert inputs["index"].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4]
    assert inputs["x"][:, 0].tolist() == [5, 5, 6, 6, 6, 7, 7, 7, 7, 8, 9, 9]
    assert set(collate_sets([torch.zeros(2, 3)])) == {"x", "index"}


def test_weights_and_positions_are_collated():
    rng = np.random.default_rng(0)
    sets = [
        {"x": rng.normal(size=(n, 3)), "weights": rng.uniform(size=n)} for n in (2, 5, 1)
    ]
    inputs, labels = collate_sets([(of, i) for i, of in enumerate(sets)])
    pooling = OTKPooling(3, 2, dtype=torch.float64)
    out = pooling(**inputs)
    for i, arguments in enumerate(sets):
        x, weights = torch.tensor(arguments["x"]), torch.tensor(arguments["weights"])
        torch.testing.assert_close(out[i], pooling(x[None], weights=weights[None])[0])
    sets[1]["weights"] = np.ones(3)
    with pytest.raises(
        ValueError, match=r"weights of set 1 .* \(3,\); expected \(5, ...\)"
    ):
        collate_sets(sets)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([np.zeros((2, 3)), np.zeros((0, 3))], r"Set 1 of the batch has shape \(0, 3\)"),
        (
            [np.zeros((2, 3)), np.zeros((2, 2))],
            r"Set 1 .* \(2, 2\); expected \(n_elements, 3",
        ),
        ([np.zeros(3)], r"Set 0 .*\(3,\); expected \(n_elements, n_features\)"),
    ],
)
def test_sets_that_make_no_batch(batch, message):
    with pytest.raises(ValueError, match=message):
        collate_sets(batch)


def test_workers_that_were_forked():
    """After threads ran in the parent: none is missing in the child."""
    pooling = OTKPooling(3, 2)
    pooling(torch.randn(300, 100, 3)).sum().backward()
    loader = torch.utils.data.DataLoader(
        Sets(pooling), batch_size=4, num_workers=2, multiprocessing_context="fork"
    )
    out = torch.cat(list(loader))
    expected = torch.arange(12.0)[:, None, None].expand(12, 2, 3)
    torch.testing.assert_close(out, expected)


def test_threads_at_the_same_time():
    pooling, x = OTKPooling(8, 4), torch.randn(60, 50, 8)
    expected = pooling(x).detach()
    wrong = []

    def run():
        for _ in range(5):
            out = pooling(x)
            out.sum().backward()
            if not torch.equal(out, expected):
                wrong.append(out)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_do_not_depend_on_threads():
    pooling, x = OTKPooling(8, 40), torch.randn(300, 60, 8, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            out = pooling(x)
            results.append((out, *torch.autograd.grad(out.sum(), (x, pooling.references))))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results):
        assert torch.equal(one, other)


def test_an_aggregation():
    geometric = pytest.importorskip("torch_geometric")
    x, index = ragged(n_features=3, dtype=torch.float32)
    pooling = OTKPooling(3, 4)
    aggregation = as_aggregation(pooling)
    assert isinstance(aggregation, geometric.nn.Aggregation)
    out = aggregation(x, index, dim_size=5)
    assert torch.equal(out[:4], pooling(x, index).flatten(1))
    assert not out[4].any()
    ptr = torch.tensor([0, 1, 8, 12, 24])
    assert torch.equal(aggregation(x, ptr=ptr), out[:4])
    edges = torch.randint(0, 24, (2, 90))
    convolution = geometric.nn.GraphConv(12, 5, aggr=aggregation)
    convolution.lin_rel = nn.Linear(12, 5)
    convolution.lin_root = nn.Linear(3, 5)
    assert torch.equal(pickle.loads(pickle.dumps(aggregation))(x, index), out[:4])
    convolution(x, edges).sum().backward()
    assert pooling.references.grad.abs().sum() > 0


class SetsOfSkorch(torch.utils.data.Dataset):
    """Sets of a collection, and labels if there are any, as skorch asks for."""

    def __init__(self, X, y=None):
        self.X, self.y = X, np.zeros(len(X), np.int64) if y is None else y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


class Classifier(nn.Module):
    def __init__(self, n_supports=4):
        super().__init__()
        self.layers = SetSequential(
            KernelFeatures(2, 8, gamma=0.5),
            OTKPooling(8, n_supports),
            nn.Flatten(),
            nn.Linear(8 * n_supports, 2),
        )

    def forward(self, **inputs):
        return self.layers(**inputs)


def test_skorch_in_scikit_learn():
    skorch = pytest.importorskip("skorch")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = SetCollection.from_sets(
        [
            np.concatenate([rng.normal(size=(6, 2)), rng.normal(label * 3, 0.3, (2, 2))])
            for label in y
        ]
    ).astype(np.float32)
    torch.manual_seed(0)
    model = skorch.NeuralNetClassifier(
        Classifier,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.02,
        max_epochs=15,
        batch_size=20,
        dataset=SetsOfSkorch,
        iterator_train__collate_fn=collate_sets,
        iterator_valid__collate_fn=collate_sets,
        train_split=None,
        verbose=0,
    )
    pipeline = make_pipeline(ElementTransformer(Scale()), model)
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.8
    search = GridSearchCV(
        pipeline, {"neuralnetclassifier__module__n_supports": [1, 4]}, cv=2
    )
    assert search.fit(X, y).best_score_ > 0.8
    assert pickle.loads(pickle.dumps(search)).score(X, y) > 0.8


class Scale(TransformerMixin, BaseEstimator):
    """Divide elements by their largest value."""

    def fit(self, X, y=None):
        self.largest_ = np.abs(X).max()
        return self

    def transform(self, X):
        return X / self.largest_
