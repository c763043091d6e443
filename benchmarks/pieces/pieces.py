"""Times and peak memory of the pieces, for airspeed velocity to follow over commits."""

import numpy as np

from otk_sklearn import OTKEmbedding, SetCollection
from otk_sklearn.features._feature_map import make_feature_map
from otk_sklearn.transport._problem import Transport
from otk_sklearn.transport._solvers import solve_plans


def make_sets(n_sets, shortest, longest, n_features):
    random = np.random.default_rng(0)
    offsets = np.concatenate([[0], random.integers(shortest, longest, n_sets).cumsum()])
    values = random.standard_normal((offsets[-1], n_features), dtype=np.float32)
    return SetCollection(values, offsets)


class Features:
    """Kernel values of 4,096 elements with the anchors."""

    params = ["rbf", "homogeneous"]
    param_names = ["kernel"]

    def setup(self, kernel):
        x = make_sets(1, 4096, 4097, 64).values
        anchors = x[:256] / np.linalg.norm(x[:256], axis=1, keepdims=True)
        self.kappa_of = make_feature_map(kernel, 0.1, anchors, 1e-2).kappa_in(np.float32)
        self.x = x
        self.kappa_of(x)

    def time_features(self, kernel):
        self.kappa_of(self.x)


class Plans:
    """Plans of 200 sets of 40 elements, from blunt to sharp."""

    params = [[10, 100], [1.0, 0.1, 0.01]]
    param_names = ["n_supports", "epsilon"]

    def setup(self, n_supports, epsilon):
        random = np.random.default_rng(0)
        x, z = random.normal(size=(8000, 1, 3)), random.normal(size=(n_supports, 3))
        self.similarities = np.exp(-((x - z) ** 2).sum(axis=2)).T[np.newaxis].copy()
        self.offsets = np.arange(0, 8001, 40)
        self.transport = Transport("sinkhorn", epsilon, None, 10_000, 1e-3)
        self.time_plans(n_supports, epsilon)

    def time_plans(self, n_supports, epsilon):
        solve_plans(
            self.similarities.copy(),
            np.zeros(200),
            self.offsets,
            np.full(8000, 1 / 40),
            self.transport,
        )


class Embedding:
    """The whole way: many short sets, long ones, and one of half a million elements."""

    params = ["short", "long", "huge"]
    param_names = ["sets"]

    def setup(self, sets):
        sizes = {
            "short": (5000, 7, 30),
            "long": (200, 50, 400),
            "huge": (1, 500_000, 500_001),
        }
        self.X = make_sets(*sizes[sets], 16)
        self.model = OTKEmbedding(32, n_jobs=-1, max_elements=20_000, random_state=0)
        self.model.fit(self.X).transform(self.X)

    def time_transform(self, sets):
        self.model.transform(self.X)

    def peakmem_transform(self, sets):
        self.model.transform(self.X)

    def time_fit(self, sets):
        self.model.fit(self.X)

    def peakmem_fit(self, sets):
        self.model.fit(self.X)
