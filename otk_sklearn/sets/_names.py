"""Names of sets and of features, and targets in the order of the sets."""

import sys
from collections import Counter
from collections.abc import Mapping

import numpy as np

from otk_sklearn._utils.caller_warnings import warn_caller
from otk_sklearn.sets._arrays import (
    column_names,
    first_present,
    is_array_or_list,
    is_missing_cell,
)
from otk_sklearn.sets._offsets import read_only
from otk_sklearn.sets._unreadable import check_readable

# Names that an error lists at most.
_MAX_LISTED = 5


def as_labels(labels, name, item="set"):
    """Return labels as a 1-D array, without converting any of them into another type.

    Parameters
    ----------
    labels : array-like of shape (n_labels,)
    name : str
        Name of the argument in error messages.
    item : str
        What has a label: "set" or "element".
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
        expected = f"one label for each {item}"
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}.")
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


def named(names, i):
    """A comma and the name of set i, to follow its number in an error message.

    Nothing if there are no names, or the number itself is the name.
    """
    name = "" if names is None else shown(names[i])
    return "" if name in ("", str(i)) else f", named {name}"


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


class ColumnLabels(list):
    """Labels of the columns of a table, of any type, where a user would give strings.

    As to scikit-learn, only strings are names of features. Of other labels, such as
    integers, only the order is checked against that of `fit`.
    """


def check_feature_names(names, n_features):
    """Return names of features, or labels of columns, as a read-only array of objects."""
    if not isinstance(names, ColumnLabels):
        names = list(names)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"feature_names has {name!r}; expected strings.")
    if len(names) != n_features:
        raise ValueError(
            f"feature_names has {len(names)} entries; expected one a feature, {n_features}."
        )
    return read_only(np.fromiter(names, object, len(names)))  # tuples are labels, not rows


def are_names(labels):
    """Whether labels of columns are strings; not so where there are none."""
    return labels is not None and all(isinstance(label, str) for label in labels)


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
    """Labels of the columns of a table, or None if it has none."""
    names = column_names(table)
    if not names:
        return None
    if len(names) == 1 and is_array_or_list(first_present(table[names[0]])):
        return None  # a column of elements
    if any(isinstance(name, str) for name in names) and not are_names(names):
        raise TypeError(
            "Feature names are only supported if all input features have string names, but "
            f"your input has {names}; expected strings: X.columns.astype(str), say."
        )
    return ColumnLabels(names)


def align(y, names):
    """Return the values of a Series, a DataFrame or a mapping in the order of names.

    Values of other names are left out. A missing value is none: that of a DataFrame is a
    row, which may have some.

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
            levels = 0 if index.nlevels == 1 else list(range(index.nlevels))
            raise ValueError(
                f"y has {shown(repeated[0])} more than once; expected unique names. If all "
                f"rows of a set have the same label: y.groupby(level={levels}, "
                "observed=True).first()."
            )
        y = y.dropna(how="all")
        place = {name: i for i, name in enumerate(y.index.tolist())}
        _check_all_known(names, place, index, "y")
        return y.iloc[[place[name] for name in names.tolist()]].to_numpy()
    if isinstance(y, Mapping):
        known = {x for x in names.tolist() if x in y and not is_missing_cell(y[x])}
        _check_all_known(names, known, y, "pd.Series(y)")
        values = [y[name] for name in names.tolist()]
        array = np.array(values)
        if array.dtype.kind in "US" and array.tolist() != values:  # would be changed
            array = np.fromiter(values, object)
        return array
    raise TypeError(
        f"y is {type(y).__name__}; expected a pandas Series or DataFrame with the names of "
        "sets as its index, or a mapping from names."
    )


def _check_all_known(names, known, all_names, series):
    """Raise an error that lists the names of sets that are not among those with a value.

    Parameters
    ----------
    names : ndarray of shape (n_sets,)
    known : set or dict
        Names with a value.
    all_names : iterable
        And those without.
    series : str
        Code of the values as a Series or DataFrame.
    """
    missing = [name for name in names.tolist() if name not in known]
    if missing:
        listed = ", ".join(map(shown, missing[:_MAX_LISTED]))
        more = ", ..." if len(missing) > _MAX_LISTED else ""
        first = shown(next(iter(all_names), None))
        known = f"{series}.dropna(how='all').index"
        hint = f". To leave these sets out: X = X[X.index.isin({known})]"
        if len(missing) == len(names):
            hint = "; of a table with a column of names: table.set_index(column)"
        raise ValueError(
            f"y has nothing, or NaN, for {len(missing)} of the names of sets: {listed}"
            f"{more}; expected a value for each (its first name is {first}){hint}."
        )


def check_feature_names_match(estimator, labels):
    """Check the labels of the columns of X against those of `fit`.

    Names as scikit-learn does. Of other labels, it is an error if they are those of `fit`
    in another order.
    """
    names = labels if are_names(labels) else None
    fitted = getattr(estimator, "feature_names_in_", None)
    _check_order(labels, getattr(estimator, "_column_labels", None))
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


def _check_order(labels, fitted):
    if labels is None or fitted is None:
        return
    labels = list(labels)
    if labels != fitted and Counter(labels) == Counter(fitted):
        first = next(i for i, label in enumerate(labels) if label != fitted[i])
        raise ValueError(
            f"column {first} of X is {labels[first]!r}, and was {fitted[first]!r} in fit; "
            "expected the columns in the same order as in fit."
        )


def _listed(names):
    more = "- ...\n" if len(names) > _MAX_LISTED else ""
    return "".join(f"- {name}\n" for name in names[:_MAX_LISTED]) + more
