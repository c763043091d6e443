"""Tables and columns of pandas that are given together: whether their rows are in order.

They are taken by position, as everywhere in scikit-learn, while pandas itself would align
them by their indices.
"""

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._names import shown


def row_index(table):
    """The index of a Series or DataFrame of pandas; None for everything else."""
    index = getattr(table, "index", None) if hasattr(table, "iloc") else None
    return index if hasattr(index, "tolist") else None


def is_range(index):
    """Whether an index of pandas counts: by default, it counts rows."""
    return type(index).__name__ == "RangeIndex"


def check_same_rows(**tables):
    """Check that those that have an index have the same one.

    Parameters
    ----------
    **tables
        Tables, columns or arrays with the same number of rows, or None.

    Raises
    ------
    ValueError
        If an index has the labels of another in a different order.

    Warns
    -----
    UserWarning
        If it has only some of them.
    """
    indices = {name: row_index(table) for name, table in tables.items()}
    indexed = [name for name, index in indices.items() if index is not None]
    for name in indexed[1:]:
        _check_same_index(name, indices[name], indexed[0], indices[indexed[0]])


def _check_same_index(name, index, first_name, first):
    if len(index) != len(first) or index.nlevels != first.nlevels:
        return  # lengths are checked elsewhere
    if index.equals(first):
        return
    counts_rows = _counts_rows(index, first) or _counts_rows(first, index)
    if index.dtype != first.dtype:  # pandas would convert text to dates, for instance
        index, first = index.astype(object), first.astype(object)
    pairs = enumerate(zip(index, first))
    differing = next((pair for pair in pairs if _differ(*pair[1])), None)
    if differing is None:
        return
    is_common = index.isin(first)
    if not is_common.any():
        return
    by_position = f"{name}.to_numpy()"
    if is_common.all() and first.isin(index).all():
        row, (label, expected) = differing
        by_index = f"{name}.loc[{first_name}.index]"
        either = f"{by_index}, or {by_position}" if first.is_unique else by_position
        raise ValueError(
            f"{name} has the index of {first_name} in another order: row {row} is "
            f"{shown(label)}, that of {first_name} {shown(expected)}; expected the same "
            f"order, or none: {either} if rows belong together by position."
        )
    if not counts_rows:
        warn_caller(
            f"{name} has an index that is that of {first_name} only in part: "
            f"rows are taken by position. If that is right, pass {by_position}.",
            UserWarning,
        )


def _differ(label, other):
    return label is not other and len({label, other}) > 1  # NA is neither equal nor unequal


def _counts_rows(index, other):
    """Whether an index only counts rows, as pandas does by default, unlike the other."""
    is_default = is_range(index) and (index.start, index.step) == (0, 1)
    return is_default and not is_range(other)
