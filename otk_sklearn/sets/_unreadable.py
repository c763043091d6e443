"""Objects that are no arrays and no sequences: errors that say what to pass instead."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.sparse import issparse

# What to pass in place of sets or their elements; {0} is the name of the object.
_INSTEAD = {
    "pandas.DataFrameGroupBy": "SetCollection.from_groups(table[features], table[key])",
    "pandas.SeriesGroupBy": "SetCollection.from_groups(table[features], table[key])",
    "polars.GroupBy": "SetCollection.from_groups(table[features], table[key])",
    "anndata.AnnData": (
        'SetCollection.from_groups({0}.obsm["X_pca"], {0}.obs["patient"]), or other keys '
        "of `{0}.obsm[...]` and `{0}.obs[...]`"
    ),
}
# In place of one set of a list.
_INSTEAD_OF_A_SET = {
    "polars.LazyFrame": "{0}.collect()",
    "anndata.AnnData": '{0}.obsm["X_pca"]',
    "dict": "pd.DataFrame({0})",
}
_ARRAY_INTERFACES = ("__array__", "__array_interface__", "__array_struct__")
_MAX_DIMENSIONS = 5


def type_name(x):
    """Name of the type of an object, with its package."""
    package = type(x).__module__.partition(".")[0]
    name = type(x).__name__
    return name if package == "builtins" else f"{package}.{name}"


def check_readable(x, name):
    """Raise an error if an object, or an item of nested lists, is no array or sequence.

    NumPy indexes every object that can be indexed, item by item, and the items in turn.
    That never ends for those whose items are of their own type, such as AnnData.
    """
    if isinstance(x, np.ndarray):
        return
    if issparse(x):
        of_a_set = _of_each_set(name, "{0}.toarray()")
        raise TypeError(
            f"{name} is a sparse matrix; expected a dense array: "
            f"{of_a_set or f'{name}.toarray()'}."
        )
    if isinstance(x, Iterable) or _is_indexed(x):
        if not _is_array_like(x):
            raise TypeError(f"{name} is {type_name(x)}; expected {_instead_of(x, name)}.")
        if isinstance(x, (list, tuple)):
            _check_items(x, name, _MAX_DIMENSIONS)


def _is_array_like(x):
    """Whether NumPy converts an object without guessing."""
    if isinstance(x, Sequence) or any(hasattr(x, name) for name in _ARRAY_INTERFACES):
        return True
    try:
        memoryview(x)
    except TypeError:
        return False
    return True


def _is_indexed(x):
    """Whether NumPy would index an object that is no array."""
    return hasattr(type(x), "__getitem__") and not isinstance(x, dict)


def _check_items(items, name, depth):
    one_of_each_type = {type(item): item for item in items}
    for item_type, item in one_of_each_type.items():
        if issubclass(item_type, (list, tuple)):
            for nested in items if depth else ():
                if type(nested) is item_type:
                    _check_items(nested, name, depth - 1)
        elif _is_indexed(item) and not _is_array_like(item):
            raise TypeError(f"{name} holds {type_name(item)}; expected numbers.")


def _instead_of(x, name):
    """The expression to pass instead."""
    instead = _INSTEAD_OF_A_SET.get(type_name(x), "np.array(list({0}))")
    if _of_each_set(name, instead):
        return f"a 2-D array in place of each: {_of_each_set(name, instead)}"
    if type_name(x) in _INSTEAD and name in ("X", "sets", "values"):
        return _INSTEAD[type_name(x)].format(name)
    if type_name(x) == "polars.LazyFrame":
        return f"{name}.collect()"
    if not name.isidentifier() or not isinstance(x, Iterable):
        return "an array or a list"
    return f"list({name}.values())" if isinstance(x, Mapping) else f"list({name})"


def _of_each_set(name, instead):
    """The expression for all sets, if the name is that of one of them."""
    one_of, _, sets = name.partition(" of ")
    return one_of.startswith("set ") and f"[{instead.format('x')} for x in {sets}]"
