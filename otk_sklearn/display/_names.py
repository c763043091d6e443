"""Names of elements, checked against the sets that are drawn."""

import numpy as np

from otk_sklearn.sets._validation import as_sets


def check_names(names, X, index, n_elements):
    """Return one name for each element of set `index` of X, or None."""
    if names is None:
        return None
    if len(names) != n_elements:
        hint = _choice_of_names(names, as_sets(X, explain_rows=False), index)
        raise ValueError(
            f"element_names has {len(names)} names; expected {n_elements}, one for each "
            f"element of set {index}{hint}."
        )
    return [str(name) for name in names]


def check_names_of_sets(names, sets):
    """Return names for the elements of each set."""
    if names is None:
        raise ValueError("kind is 'text', which draws element_names; expected some.")
    if len(names) != len(sets):
        hint = _split_of_names(names, sets)
        raise ValueError(
            f"element_names has {len(names)} entries; expected {len(sets)} sequences of "
            f"names, one for each set{hint}."
        )
    return [
        check_names(of_set, sets, i, length)
        for i, (of_set, length) in enumerate(zip(names, sets.lengths))
    ]


def _choice_of_names(names, sets, index):
    """How to choose the names of one set out of those of all, as far as that is known."""
    start, stop = sets.offsets[index], sets.offsets[index + 1]
    if _are_of_a_table(names, sets):
        return f": element_names=np.asarray(names)[X.rows[{start}:{stop}]]"
    if len(names) == sets.offsets[-1]:
        return f": element_names=names[{start}:{stop}]"
    if len(names) == len(sets):
        of_set = list(names)[index]
        if np.iterable(of_set) and len(of_set) == stop - start:
            return f": element_names=names[{index}]"
    return ""


def _split_of_names(names, sets):
    """How to split names among the sets, as far as that is known."""
    if _are_of_a_table(names, sets):
        of_rows = "np.asarray(names)[rows]"
        each = "rows in np.split(X.rows, X.offsets[1:-1])"
        return f": element_names=[{of_rows} for {each}]"
    if len(names) == sets.offsets[-1]:
        offsets = "SetCollection.from_sets(X).offsets[1:-1]"
        return f": element_names=np.split(names, {offsets})"
    return ""


def _are_of_a_table(names, sets):
    """Whether there may be a name for each row of the table that sets were made of."""
    return sets.rows is not None and len(names) > sets.rows.max(initial=-1)
