"""Objects that are read as something else, or not at all: errors that say what to pass."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from scipy.sparse import issparse

from otk_sklearn.sets._tensors import is_nested

# What to pass in place of sets or their elements; {0} is the name of the object.
_INSTEAD = {
    "anndata.AnnData": (
        'SetCollection.from_anndata({0}, "patient", obsm="X_pca"), or with other columns '
        "of `{0}.obs` and arrays of `{0}.obsm`"
    ),
}
# In place of one set of a list.
_INSTEAD_OF_A_SET = {
    "anndata.AnnData": '{0}.obsm["X_pca"]',
    "polars.LazyFrame": "{0}.collect()",
}
# Where an output of a model of transformers, a mapping, has the states of tokens.
_STATES = {
    "last_hidden_state": '["last_hidden_state"]',
    "hidden_states": '["hidden_states"][-1]',
}
_GROUPED = {"pandas.DataFrameGroupBy", "pandas.SeriesGroupBy", "polars.GroupBy"}
_ARRAY_INTERFACES = ("__array__", "__array_interface__", "__array_struct__")
_MAX_DIMENSIONS = 5


def type_name(x):
    """Name of the type of an object, with its package."""
    package = type(x).__module__.partition(".")[0]
    name = type(x).__name__
    return name if package == "builtins" else f"{package}.{name}"


def instead_of(name, expression):
    """An expression of {0} for an object, or in a list of all sets if it is one of them."""
    sets = sets_with(name) or _parts_with(name)
    return (
        f"[{expression.format('x')} for x in {sets}]" if sets else expression.format(name)
    )


def _parts_with(name):
    """The name of the weights or positions of all sets, if this is that of one set's."""
    parts, _, one_set = name.partition(" of set ")
    return parts if one_set.isdigit() else ""


def sets_with(name):
    """The name of the sets, if this is the name of one of them, or nothing."""
    one_of, _, sets = name.partition(" of ")
    return sets if one_of.startswith("set ") else ""


def grouping_column(groups):
    """The column that a table was grouped by, as code: of pandas, if it is a single one."""
    keys = getattr(groups, "keys", None)
    return repr(keys) if isinstance(keys, str) else '"id"'


def is_grouped(x):
    """Whether this is a table that was grouped, not a column of its groups."""
    return type_name(x) in _GROUPED


def check_readable(x, name):
    """Raise an error if an object, or an item of nested lists, is no array or sequence.

    NumPy indexes every object that can be indexed, item by item, and the items in turn.
    That never ends for those whose items are of their own type, such as AnnData.
    """
    if isinstance(x, np.ndarray):
        return
    check_not_packed(x, name)
    if issparse(x):
        raise TypeError(
            f"{name} is a sparse matrix; expected a dense array: "
            f"{instead_of(name, '{0}.toarray()')}."
        )
    if isinstance(x, Iterable) or _is_indexed(x):
        if not _is_array_like(x):
            raise TypeError(f"{name} is {type_name(x)}; expected {_instead_of(x, name)}.")
        if isinstance(x, (list, tuple)):
            _check_not_pair(x, name)
            _check_items(x, name, _MAX_DIMENSIONS)


def check_not_packed(x, name):
    """Raise an error for one object that holds several sets, and is no sequence of them."""
    sets, expected = sets_with(name), None
    if type_name(x) == "torch.PackedSequence":
        expected = f"torch.nn.utils.rnn.unpack_sequence({name})"
    elif is_nested(x):
        expected = _instead_of_nested(name, sets)
    elif type_name(x) == "otk_sklearn.SetCollection" and sets:
        expected = f"SetCollection.concatenate({sets})"
    elif isinstance(x, Mapping):
        expected = _instead_of_model_output(x, name, sets)
    if expected is not None:
        nested = "a nested " * is_nested(x)
        raise TypeError(f"{name} is {nested}{type_name(x)}; expected {expected}.")


def _instead_of_nested(name, sets):
    """What to pass in place of a nested tensor where no sequence of sets is expected."""
    if sets:
        return f"[x for nested in {sets} for x in nested.unbind()]"
    if name == "X":  # from_padded
        return f"SetCollection.from_sets({name})"
    if name == "mask":
        return f"torch.nested.to_padded_tensor({name}, 0)"
    return f"torch.cat({name}.unbind())"


def _instead_of_model_output(x, name, sets):
    """What to pass in place of an output of a model of transformers; None of others."""
    states = next((code for key, code in _STATES.items() if key in x), None)
    one, mask, what = "x" if sets else name, "mask", ""
    if states is not None:
        states = f"{one}{states}"
        mask = mask if sets else "special_tokens_mask == 0"
    elif "input_ids" in x:
        states = f"encoder(**{one}).last_hidden_state"
        what = "the states of a model, "
    else:
        return None
    code = f"SetCollection.from_padded({states}, mask={mask})"
    if sets:
        code = f"SetCollection.concatenate([{code} for x, mask in zip({sets}, masks)])"
    return what + code


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


def _check_not_pair(x, name):
    """Raise an error for a set with its label, as from `groupby`, `dict.items` or `zip`."""
    sets = sets_with(name)
    if not sets or len(x) != 2 or any(map(is_nested, x)):
        return
    are_sets = [len(getattr(part, "shape", ())) == 2 for part in x]
    if sum(are_sets) != 1:
        return
    expected = f"[x for x, _ in {sets}]"
    if are_sets[1]:
        listed = f"[x for _, x in {sets}]"
        expected = (
            f"{listed}, or with names "
            f"SetCollection.from_sets({listed}, names=[name for name, _ in {sets}])"
        )
    if hasattr(x[are_sets.index(True)], "columns"):
        expected += '; of a table that was grouped: SetCollection.from_groups(table, "id")'
    raise TypeError(
        f"{name} is a pair of {type_name(x[0])} and {type_name(x[1])}; expected a 2-D "
        f"array in place of each: {expected}."
    )


def _check_items(items, name, depth):
    one_of_each_type = {type(item): item for item in items}
    for item_type, item in one_of_each_type.items():
        if issubclass(item_type, (list, tuple)):
            for nested in items if depth else ():
                if type(nested) is item_type:
                    _check_items(nested, name, depth - 1)
        elif issubclass(item_type, dict) and len(one_of_each_type) == 1:
            check_not_packed(item, f"set 0 of {sets_with(name) or name}")
            raise TypeError(
                f"{name} holds dict; expected numbers: "
                f"{instead_of(name, 'pd.DataFrame({0})')}."
            )
        elif is_nested(item):
            raise TypeError(
                f"{name} holds nested tensors; expected "
                f"[x for nested in {sets_with(name) or name} for x in nested.unbind()]."
            )
        elif _is_indexed(item) and not _is_array_like(item):
            raise TypeError(f"{name} holds {type_name(item)}; expected numbers.")


def _instead_of(x, name):
    """The expression to pass instead."""
    if sets_with(name):
        return f"a 2-D array in place of each: {instead_of(name, _instead_of_a_set(x))}"
    if is_grouped(x) and name in ("X", "sets", "values"):
        return f"SetCollection.from_groups(table, {grouping_column(x)})"
    if is_grouped(x):
        return f"SetCollection.from_groups(values, {grouping_column(x)})"
    if type_name(x) in _INSTEAD and name in ("X", "sets", "values"):
        return _INSTEAD[type_name(x)].format(name)
    if type_name(x) == "polars.LazyFrame":
        return f"{name}.collect()"
    if _has_numpy(x):
        return f"{name}.numpy()"
    if not name.isidentifier() or not isinstance(x, Iterable):
        return "an array or a list"
    if isinstance(x, Mapping):
        named = f", or SetCollection.from_sets({name}.values(), names=list({name}))"
        return f"list({name}.values()){named * (name in ('X', 'sets'))}"
    return f"list({name})"


def _instead_of_a_set(x):
    if isinstance(x, dict):
        if any(getattr(part, "ndim", 1) == 2 for part in x.values()):
            return "np.column_stack([*{0}.values()])"
        of_one_element = not any(isinstance(part, Iterable) for part in x.values())
        return "pd.DataFrame([{0}])" if of_one_element else "pd.DataFrame({0})"
    if _has_numpy(x):
        return "{0}.numpy()"
    return _INSTEAD_OF_A_SET.get(type_name(x), "np.array(list({0}))")


def _has_numpy(x):
    """Whether this is a tensor with a method `numpy`, but without NumPy's interfaces."""
    return callable(getattr(x, "numpy", None))
