"""Names of sets and of features, and targets in the order of the sets."""

import sys
from collections.abc import Mapping

import numpy as np

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._arrays import column_names, first_present, is_array_or_list
from otk_sklearn.sets._offsets import read_only
from otk_sklearn.sets._unreadable import check_readable

# Names that an error lists at most.
_MAX_LISTED = 5


def as_labels(labels, name):
    """Return labels as a 1-D array, without converting any of them into another type.

    Parameters
    ----------
    labels : array-like of shape (n_labels,)
    name : str
        Name of the argument in error messages.
    """
    if isinstance(labels, str | bytes | Mapping) or not hasattr(labels, "__len__"):
        raise TypeError(f"{name} is {type(labels).__name__}; expected an array of labels.")
    check_readable(labels, name)
    if hasattr(labels, "to_numpy"):  # a Series or an Index
        array = labels.to_numpy()
    elif isinstance(labels, np.ndarray):
        array = labels
    else:
        array = np.fromiter(list(labels), object)  # tuples are labels, not rows
        if len({type(label) for label in array}) == 1 and isinstance(array[0], str | int):
            plain = np.asarray(array.tolist())
            is_kept = plain.dtype.kind in "Uib" and plain.tolist() == array.tolist()
            array = plain if is_kept else array  # NumPy cuts NUL off the end of text
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one label a set.")
    return _as_microseconds(array) if array.dtype.kind in "mM" else array


def _as_microseconds(times):
    """Times of nanoseconds in units that Python has, too: it would make numbers of them."""
    converted = times.astype(f"{times.dtype.kind}8[us]")
    if np.datetime_data(times.dtype)[0] in ("ns", "ps", "fs", "as"):
        return converted if (converted == times).all() else np.fromiter(times, object)
    return times


def check_names(names, n_sets, unique=True):
    """Return names of sets as a read-only array: one a set, none missing, and unique."""
    names = as_labels(names, "names")
    if len(names) != n_sets:
        raise ValueError(f"names has {len(names)} entries; expected one a set, {n_sets}.")
    seen = {}
    for i, name in enumerate(names.tolist()):
        if is_missing(name):
            raise ValueError(f"names has {shown(name)} for set {i}; expected a name.")
        first = seen.setdefault(key_of(name), i)
        if unique and first != i:
            raise ValueError(
                f"names has {shown(name)} for sets {first} and {i}; expected unique names."
            )
    return read_only(names.copy())


def shown(label):
    """A label as in an error message: scalars of NumPy as those of Python."""
    if isinstance(label, tuple):
        return f"({', '.join(map(shown, label))}{',' * (len(label) == 1)})"
    is_plain = isinstance(label, (np.str_, np.bytes_, np.number, np.bool_))
    return repr(label.item() if is_plain else label)


def key_of(label):
    """A key that is equal for equal labels. To Python, True is 1."""
    if isinstance(label, tuple):
        return tuple(map(key_of, label))
    return (bool, bool(label)) if isinstance(label, (bool, np.bool_)) else label


def is_missing(label):
    """Whether a label, or a part of it, is None, NaN, or pandas' NA or NaT."""
    if isinstance(label, tuple):
        return any(map(is_missing, label))
    return label is None or type(label).__name__ == "NAType" or bool(label != label)


def check_feature_names(names, n_features):
    """Return names of features as a read-only array of str objects."""
    names = np.array(list(names), dtype=object)
    if names.shape != (n_features,):
        raise ValueError(
            f"feature_names has {len(names)} entries; expected one a feature, {n_features}."
        )
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"feature_names has {name!r}; expected strings.")
    return read_only(names)


def index_of(sets):
    """The index of a Series of sets, if it is unique, or None."""
    index = getattr(sets, "index", None)
    return index.to_numpy() if getattr(index, "is_unique", False) else None


def pandas_index(X):
    """The index of a DataFrame or Series of pandas, unique or not; None of others."""
    pandas = sys.modules.get("pandas")
    is_pandas = pandas is not None and isinstance(X, (pandas.DataFrame, pandas.Series))
    return X.index if is_pandas else None


def check_index(index, n_sets):
    """Return an index as it is loaded from a file, if it has an entry for each set."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(index, pandas.Index) or len(index) != n_sets:
        raise ValueError(
            f"index is {type(index).__name__}; expected a pandas.Index of {n_sets} entries."
        )
    return index


def feature_names_of(table):
    """Names of the columns of a table; None if it has none, or none that are strings."""
    names = column_names(table)
    are_strings = [isinstance(name, str) for name in names]
    if not any(are_strings):
        return None
    if len(names) == 1 and is_array_or_list(first_present(table[names[0]])):
        return None  # a column of elements
    if not all(are_strings):
        raise TypeError(
            "Feature names are only supported if all input features have string names, but "
            f"your input has {names}; expected strings: X.columns.astype(str), say."
        )
    return names


def align(y, names):
    """Return the values of a Series, a DataFrame or a mapping in the order of names.

    Values of other names are left out.

    Parameters
    ----------
    y : Series, DataFrame or mapping
    names : ndarray of shape (n_sets,)

    Returns
    -------
    ndarray of shape (n_sets,) or (n_sets, n_columns)
    """
    if hasattr(y, "iloc"):
        index = y.index
        repeated = index[index.duplicated()]
        if len(repeated):
            raise ValueError(
                f"y has {shown(repeated[0])} more than once; expected unique names."
            )
        place = {name: i for i, name in enumerate(index.tolist())}
        _check_all_known(names, place)
        return y.iloc[[place[name] for name in names.tolist()]].to_numpy()
    if isinstance(y, Mapping):
        _check_all_known(names, y)
        values = [y[name] for name in names.tolist()]
        array = np.array(values)
        if array.dtype.kind in "US" and array.tolist() != values:  # would be changed
            array = np.fromiter(values, object)
        return array
    raise TypeError(
        f"y is {type(y).__name__}; expected a pandas Series or DataFrame with the names of "
        "sets as its index, or a mapping from names."
    )


def _check_all_known(names, known):
    missing = [name for name in names.tolist() if name not in known]
    if missing:
        listed = ", ".join(map(shown, missing[:_MAX_LISTED]))
        more = ", ..." if len(missing) > _MAX_LISTED else ""
        first = shown(next(iter(known), None))
        raise ValueError(
            f"y has nothing for {len(missing)} of the names of sets: {listed}{more}; "
            f"expected a value for each (its first name is {first})."
        )


def check_feature_names_match(estimator, names):
    """Check the feature names of X against those of `fit`, as scikit-learn does."""
    fitted = getattr(estimator, "feature_names_in_", None)
    class_name = type(estimator).__name__
    if names is None and fitted is not None:
        warn_caller(
            f"X does not have valid feature names, but {class_name} was fitted with "
            "feature names",
            UserWarning,
        )
    elif names is not None and fitted is None:
        warn_caller(
            f"X has feature names, but {class_name} was fitted without feature names",
            UserWarning,
        )
    elif names is not None and list(names) != list(fitted):
        message = "The feature names should match those that were passed during fit.\n"
        unseen = [name for name in names if name not in fitted]
        missing = [name for name in fitted if name not in names]
        if unseen:
            message += f"Feature names unseen at fit time:\n{_listed(unseen)}"
        if missing:
            message += (
                f"Feature names seen at fit time, yet now missing:\n{_listed(missing)}"
            )
        if not unseen and not missing:
            message += "Feature names must be in the same order as they were in fit.\n"
        raise ValueError(message)


def _listed(names):
    more = "- ...\n" if len(names) > _MAX_LISTED else ""
    return "".join(f"- {name}\n" for name in names[:_MAX_LISTED]) + more
