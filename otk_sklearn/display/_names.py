"""Names of elements, checked against the sets that are drawn."""

from otk_sklearn.sets._validation import as_sets


def check_names(names, X, index, n_elements):
    """Return one name for each element of set `index` of X, or None."""
    if names is None:
        return None
    if len(names) != n_elements:
        hint = _how_to_choose(names, X, index, n_elements)
        raise ValueError(
            f"element_names has {len(names)} names; expected {n_elements}, one for each "
            f"element of set {index}{hint}."
        )
    return [str(name) for name in names]


def check_names_of_sets(names, X, lengths):
    """Return names for the elements of each set."""
    if names is None:
        raise ValueError("kind is 'text', which draws element_names; expected some.")
    if len(names) != len(lengths):
        hint = ""
        if len(names) == lengths.sum():
            offsets = "SetCollection.from_sets(X).offsets[1:-1]"
            hint = f": element_names=np.split(names, {offsets})"
        raise ValueError(
            f"element_names has {len(names)} entries; expected {len(lengths)} sequences "
            f"of names, one for each set{hint}."
        )
    return [
        check_names(of_set, X, i, length)
        for i, (of_set, length) in enumerate(zip(names, lengths))
    ]


def _how_to_choose(names, X, index, n_elements):
    """How to choose the names of one set out of those of all, as far as that is known."""
    offsets = as_sets(X, explain_rows=False).offsets
    if len(names) == offsets[-1]:
        return f": element_names=names[{offsets[index]}:{offsets[index + 1]}]"
    are_by_set = len(names) == len(X) and not isinstance(names, str)
    if are_by_set and len(list(names)[index]) == n_elements:
        return f": element_names=names[{index}]"
    return ""
