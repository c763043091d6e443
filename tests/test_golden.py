"""The authors' code's numbers, through the public API."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from otk_sklearn import OTKEmbedding

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["plan_basic", "plan_ragged"])
def test_plans_and_embeddings(name):
    golden = np.load(GOLDEN / f"{name}.npz")
    X = [x[:n] for x, n in zip(golden["X"], golden["lengths"])]
    for r in range(len(golden["references"])):
        model = OTKEmbedding(
            kernel="linear",
            references=golden["references"][[r]],
            epsilon=float(golden["epsilon"]),
            max_iter=int(golden["max_iter"]),
            tol=0,
        ).fit(X)
        n_supports = model.references_.shape[1]
        expected = golden["output"][:, r].reshape(len(X), -1)
        assert_allclose(model.transform(X), expected, rtol=1e-6, atol=1e-12)
        for plan, golden_plan in zip(model.transport_plan(X), golden["plan"][:, r]):
            golden_plan = golden_plan[: plan.shape[1]]
            assert_allclose(plan[0] * n_supports, golden_plan, rtol=1e-6, atol=1e-12)
