"""Tables of whole sets, out of batches whose borders may cut sets in two. Needs pyarrow."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from otk_sklearn.batches._seen_names import SeenNames
from otk_sklearn.batches._tables import check_schema
from otk_sklearn.sets._names import as_labels


def whole_sets(tables, groups):
    """Yield tables that have all rows of each of their sets.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Parts of one long table, in which the rows of a set are side by side.
    groups : str
        The column with the label of each row's set.

    Yields
    ------
    pyarrow.Table
        Of at least one set.

    Raises
    ------
    ValueError
        If a set comes again after others, or columns of another type than before.
    """
    held, seen, schema = [], SeenNames(), None
    for table in tables:
        start = start_of_last_set(table, groups)
        if start is None:
            continue
        schema = schema or table.schema
        check_schema(table.schema, schema)
        label = table.column(groups)[0]
        goes_on = held and held[0].column(groups)[0].as_py() == label.as_py()
        if start or (held and not goes_on):
            whole = [*held, table.slice(0, start)]
            yield _checked(pa.concat_tables(whole), groups, seen)
            held = []
        held.append(table.slice(start))
    if held:
        yield _checked(pa.concat_tables(held), groups, seen)


def start_of_last_set(table, groups):
    """The row where the last set of a table starts; None if it has no rows."""
    if not table.num_rows:
        return None
    rows = np.flatnonzero(~is_label(table, groups, table.column(groups)[-1].as_py()))
    return int(rows[-1]) + 1 if len(rows) else 0


def is_label(table, groups, label):
    """Whether each row has this label, as an array of bool."""
    labels = table.column(groups)
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    try:
        label_like = pa.scalar(label, labels.type)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {groups!r} is {labels.type}, and holds {label!r} elsewhere; expected "
            "labels of one type."
        ) from error
    equal = pc.equal(labels, label_like)
    return equal.fill_null(label is None).to_numpy()


def _checked(table, groups, seen):
    """Return a table, none of whose sets has been seen before."""
    labels = pc.unique(table.column(groups)).to_pylist()
    again = None if None in labels else seen.first_seen(as_labels(labels, groups))
    if again is not None:
        raise ValueError(
            f"the set {labels[again]!r} comes again after other sets; expected all rows of "
            f"a set side by side, in tables that are sorted by {groups!r}."
        )
    return table
