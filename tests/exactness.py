"""Print how far embeddings and plans are from those of float64 in logarithms.

    python tests/exactness.py

Errors are the largest over sets, relative to the largest number of a set's result.
"""

import warnings

import numpy as np
from helpers import make_sets
from oracle import features_of, plan_of, problem_of, windows_of

from otk_sklearn import OTKEmbedding, SetCollection

SETS = make_sets(n_sets=30, n_features=5, max_length=60)
N_ITER = 100


def main():
    of_both = " float64: plan     embedding float32: plan     embedding"
    print("kernel       scale     epsilon  " + of_both)
    for kernel in ["rbf", "homogeneous", "linear"]:
        for scale in [1e-30, 1.0, 1e30]:
            # What is not a direction or distance in widths grows with the scale.
            size = 1.0 if kernel == "rbf" else scale
            for epsilon in [1e-6, 1e-3, 0.05, 1.0, 1e6]:
                errors = [
                    error
                    for dtype in (np.float64, np.float32)
                    for error in errors_of(kernel, scale, epsilon * size, dtype)
                ]
                columns = "".join(f"{error:14.0e}" for error in errors)
                print(f"{kernel:11} {scale:6.0e} {epsilon * size:11.0e} {columns}")


def errors_of(kernel, scale, epsilon, dtype):
    """Largest errors of plans and of embeddings."""
    X = SetCollection.from_sets([(scale * x).astype(dtype) for x in SETS])
    model = OTKEmbedding(
        10, kernel=kernel, epsilon=epsilon, tol=0, max_iter=N_ITER, random_state=0
    )
    model.fit(X)
    plans, embeddings = model.transport_plan(X), model.transform(X)
    errors = []
    for i, (found, embedding) in enumerate(zip(plans, embeddings)):
        windows = windows_of(model, X, i)
        features = features_of(model, windows.elements, X.dtype)
        problem = problem_of(model, features, model.references_[0], windows, X.dtype)
        plan = plan_of(model, problem, N_ITER)
        pooled = (len(plan.T) * plan.T @ features.psi).ravel()
        errors.append(
            [
                np.abs(found[0] - plan).max() / plan.max(),
                np.abs(embedding - pooled).max() / np.abs(pooled).max(),
            ]
        )
    return np.max(errors, axis=0)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main()
