"""Series beside sets: whether their index says that they are in another order.

What belongs to sets is taken by position, as everywhere in scikit-learn.
"""

from numbers import Number

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.sets._containers import is_container
from otk_sklearn.sets._names import as_labels, index_of, key_of, shown
from otk_sklearn.sets._row_index import is_range, row_index
from otk_sklearn.sets._validation import single_column

# The part of numbers in an index that have to be names of sets, for all to be names. Row
# numbers may be equal to a few names by chance.
_ENOUGH = 1 / 3


def names_of(X):
    """Return the names that sets of any form have, without converting them, or None."""
    if isinstance(X, SetCollection):
        return X.names
    X = single_column(X)
    is_table = getattr(X, "ndim", 1) == 2 and not is_container(X)
    names = None if is_table else index_of(X)
    return None if names is None else as_labels(names, "X.index")


def warn_if_misaligned(X, **given):
    """Warn about Series and DataFrames whose index has the names of X in another order.

    In a part of the data, such as that of a fold, X and y have only some of the names in
    common: those of `y.iloc[part]` are not those of `X[part]` if y was not in the order of
    X before.

    Parameters
    ----------
    X : sets
    **given
        What has an entry for each set, such as `y` and `sample_weight`: of any type, and
        None if it is not given.
    """
    names = names_of(X)
    for argument, values in given.items():
        index = row_index(values)
        if names is None or index is None or len(index) != len(names):
            continue
        differing = _first_difference(index, names.tolist())
        if differing is not None:
            i, label, name = differing
            align = f"{argument}.loc[X.index]"
            if isinstance(X, SetCollection):
                align = f"X.align({argument})"
            warn_caller(
                f"{argument} has names of sets in its index, in another order: its "
                f"entry {i} is that of {shown(label)}, set {i} of X is {shown(name)}. It "
                f"is taken by position; {align} has the order of the sets, to be used "
                f"before any split. If the order is right already, pass "
                f"{argument}.to_numpy().",
                UserWarning,
            )


def _first_difference(index, names):
    """Where labels are names in another order first: the place, the label, the name."""
    try:
        labels = index.tolist()
        if labels == names or not _are_names(labels, names, is_range(index)):
            return None
    except TypeError:  # labels that can't be hashed or compared, such as NA, are no names
        return None
    pairs = enumerate(zip(labels, names))
    return next((i, label, name) for i, (label, name) in pairs if label != name)


def _are_names(labels, names, are_counted):
    """Whether labels that differ from the names are names all the same.

    One text, date or tuple in common tells it. Numbers may be those of rows, which are
    equal to some names without meaning them: they are names if they are just the names; or
    if many are, the order is not that of the names, and pandas hasn't merely counted.
    """
    known = {key_of(name) for name in names}
    common = [label for label in labels if key_of(label) in known]
    if not all(isinstance(label, Number) for label in common):
        return True
    if {key_of(label) for label in labels} == known:
        return True
    are_many = len(common) >= _ENOUGH * len(labels)
    return are_many and not are_counted and not _have_one_order(labels, names)


def _have_one_order(labels, names):
    """Whether the larger of two names has the larger label, as far as both are numbers."""
    pairs = sorted(
        (name, label)
        for name, label in zip(names, labels)
        if isinstance(name, Number) and isinstance(label, Number)
    )
    return all(first[1] <= second[1] for first, second in zip(pairs, pairs[1:]))
