"""Which transformers of scikit-learn treat each row on its own, and can be applied later.

They are known by their names: importing them all would take long.
"""

# Cheap, and their output is as large as their input.
_SCALERS = {"MaxAbsScaler", "MinMaxScaler", "Normalizer", "RobustScaler", "StandardScaler"}
_PROJECTIONS = {"GaussianRandomProjection", "IncrementalPCA", "PCA", "TruncatedSVD"}

# Those that learn the same from parts of the data, one after the other.
_LEARN_FROM_PARTS = {"MaxAbsScaler", "MinMaxScaler", "StandardScaler"}


def treats_rows_alone(transformer):
    """Whether a fitted transformer is known to map each row whatever the others are.

    Parameters
    ----------
    transformer : transformer
        Subclasses may do anything. A Pipeline does if all its steps do.
    """
    if _is_of_sklearn(transformer, {"Pipeline"}):
        steps = [step for _, step in transformer.steps]
        return all(
            step in (None, "passthrough") or treats_rows_alone(step) for step in steps
        )
    if _is_of_sklearn(transformer, {"FunctionTransformer"}):
        return transformer.func is None
    return _is_of_sklearn(transformer, _SCALERS | _PROJECTIONS)


def learns_from_parts(transformer):
    """Whether `partial_fit` with all parts of the data is known to be the same as `fit`."""
    return _is_of_sklearn(transformer, _LEARN_FROM_PARTS)


def _is_of_sklearn(transformer, names):
    kind = type(transformer)
    return kind.__module__.startswith("sklearn.") and kind.__name__ in names
