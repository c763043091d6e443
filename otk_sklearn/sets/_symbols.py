"""Sequences of letters or words, as sets of the vectors of these symbols."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from otk_sklearn.sets._arrays import (
    as_elements,
    as_floats,
    column_names,
    is_missing_cell,
)
from otk_sklearn.sets._names import feature_names_of, index_of, shown
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._sequences import as_list
from otk_sklearn.sets._unreadable import type_name

_MAX_SHOWN = 60
_AS_DICT = "dict(zip(sequences['id'], sequences['seq']))"


def read_sequences(sequences, vectors, names):
    """Return the arguments of `SetCollection` for sequences of symbols.

    Parameters
    ----------
    sequences, vectors, names
        As in `SetCollection.from_sequences`.
    """
    symbols, table, feature_names = _table_of(vectors)
    own_names, listed = _named(sequences)
    rows = _rows_by_symbol(symbols)
    try:
        codes = [rows[symbol] for sequence in listed for symbol in sequence]
    except (KeyError, TypeError):
        raise _unknown(sequences, own_names, listed, rows, vectors) from None
    return {
        "values": table[np.array(codes, dtype=np.intp)],
        "offsets": offsets_of([len(sequence) for sequence in listed]),
        "names": _unique(own_names, sequences) if names is None else names,
        "feature_names": feature_names,
    }


def _table_of(vectors):
    """Symbols, a row of numbers for each, and the names of features."""
    if hasattr(vectors, "iloc"):
        symbols, feature_names = list(vectors.index), feature_names_of(vectors)
        table = as_floats(vectors, "vectors")
    elif isinstance(vectors, Mapping):
        symbols, feature_names = list(vectors), None
        table = as_floats(_stacked(vectors), "vectors")
    elif isinstance(vectors, Sequence) and all(isinstance(s, str) for s in vectors):
        symbols, feature_names = list(vectors), list(vectors)
        table = np.eye(len(symbols))
    else:
        raise TypeError(
            f"vectors is {type_name(vectors)}; expected letters such as 'ACGT', for "
            "one-hot vectors, a dict of the vector of each letter, or a DataFrame with a "
            "row for each letter."
        )
    if not symbols:
        raise ValueError("vectors is empty; expected at least one letter.")
    table = as_elements(table[:, np.newaxis] if table.ndim == 1 else table, "vectors")
    if not np.isfinite(table).all():
        wrong = symbols[np.isfinite(table).all(axis=1).argmin()]
        raise ValueError(
            f"vectors has NaN or infinity for {shown(wrong)}; expected finite numbers."
        )
    repeated = {symbol for symbol in symbols if symbols.count(symbol) > 1}
    if repeated:
        raise ValueError(f"vectors has {shown(repeated.pop())} twice; expected it once.")
    return symbols, table, feature_names


def _stacked(vectors):
    """The vectors of a mapping, which may be numbers: a scale of one feature."""
    rows = [as_floats(x, f"the vector of {shown(symbol)}") for symbol, x in vectors.items()]
    if len({row.shape for row in rows}) > 1:
        first, other = next(
            (symbol, row.shape)
            for symbol, row in zip(vectors, rows)
            if row.shape != rows[0].shape
        )
        raise ValueError(
            f"the vector of {shown(first)} has shape {other}, the first {rows[0].shape}; "
            "expected the same."
        )
    return np.array(rows)


def _rows_by_symbol(symbols):
    """The row of each symbol; of a letter in the other case, too, if it has none itself."""
    rows = {symbol: row for row, symbol in enumerate(symbols)}
    for row, symbol in enumerate(symbols):
        if isinstance(symbol, str) and len(symbol) == 1:
            rows.setdefault(symbol.swapcase(), row)
    return rows


def _named(sequences):
    """The names of sequences, or None, and a list of them; a missing one is empty."""
    if isinstance(sequences, str):
        return _read_fasta(sequences)
    if isinstance(sequences, bytes | os.PathLike):
        is_bytes = isinstance(sequences, bytes)
        code = "sequences.decode()" if is_bytes else "Path(sequences).read_text()"
        raise TypeError(
            f"sequences is {type_name(sequences)}; expected text, such as that of a FASTA "
            f"file, {code}."
        )
    columns = column_names(sequences)
    if columns:
        one = "sequences.set_index('id')['seq']"
        if len(columns) == 1:
            one = f"sequences[{columns[0]!r}]"
        elif not hasattr(sequences, "iloc"):
            one = _AS_DICT
        raise TypeError(
            f"sequences is a table with the columns {columns}; expected the one of "
            f"sequences, by names if there is a column of them: {one}."
        )
    names = index_of(sequences)
    if isinstance(sequences, Mapping):
        names, sequences = list(sequences), list(sequences.values())
    listed = as_list(sequences, "sequences")
    if not listed:
        raise ValueError("sequences is empty; expected at least one.")
    if isinstance(listed[0], str) and listed[0].startswith(">"):
        raise TypeError(
            f"sequences has {listed[0][:_MAX_SHOWN]!r}, a line of a FASTA file; expected "
            "all of its text: file.read(), or of a list of lines, '\\n'.join(sequences)."
        )
    return names, [() if is_missing_cell(x) else x for x in listed]


def _read_fasta(text):
    """Names and sequences of a FASTA file: the first word of each header is the name."""
    if not text.lstrip().startswith(">"):
        raise TypeError(
            f"sequences is str, {text[:_MAX_SHOWN]!r}; expected a list of sequences (of "
            "one: [sequences]), or the text of a FASTA file, which begins with '>' (of a "
            "file: Path(sequences).read_text())."
        )
    names, sequences = [], []
    for record in re.split(r"^\s*>", text, flags=re.MULTILINE)[1:]:
        header, _, lines = record.partition("\n")
        names.append((header.split() or [""])[0])
        sequences.append("".join(lines.split()))
    return names, sequences


def _unique(names, sequences):
    """The names of sequences; an error if the text of a file has one of them twice."""
    if not isinstance(sequences, str) or len(set(names)) == len(names):
        return names
    counts = Counter(names)
    repeated = next(name for name in names if counts[name] > 1)
    i, j = [i for i, name in enumerate(names) if name == repeated][:2]
    records = "('\\n' + sequences).split('\\n>')[1:]"
    raise ValueError(
        f"sequences has records {i} and {j} of the name {shown(repeated)}; expected unique "
        f"names. To number all: names=range({len(names)}). To keep the last record of each "
        f"name: '\\n>'.join(['', *{{x.split()[0]: x for x in {records}}}.values()])."
    )


def _unknown(sequences, names, listed, rows, vectors):
    """The error for symbols without a vector, or for items that are no sequences."""
    for i, sequence in enumerate(listed):
        name = "" if names is None else f" ({shown(names[i])})"
        if not isinstance(sequence, str | Sequence | np.ndarray):
            return TypeError(
                f"set {i} of sequences{name} is {type_name(sequence)}; expected a str, or "
                "a list of symbols."
            )
        wrong = next((j for j, s in enumerate(sequence) if not _is_known(s, rows)), None)
        if wrong is not None:
            break
    unknown = {str(s): s for x in listed for s in x if not _is_known(s, rows)}
    unknown = [unknown[key] for key in sorted(unknown)]
    n_sets = sum(any(not _is_known(s, rows) for s in sequence) for sequence in listed)
    symbol = shown(sequence[wrong])
    return ValueError(
        f"set {i} of sequences{name} has {symbol} (element {wrong}), which has no vector; "
        f"{n_sets} of {len(listed)} sequences have such symbols, {_few(unknown)}. Expected "
        f"{_expected(sequences, vectors, unknown)}."
    )


def _is_known(symbol, rows):
    try:
        return symbol in rows
    except TypeError:  # one that can't be hashed
        return False


def _few(symbols):
    listed = ", ".join(map(shown, symbols[:10]))
    return listed + ", ..." * (len(symbols) > 10)


def _expected(sequences, vectors, unknown):
    """What to do about symbols without a vector."""
    if _are_columns(vectors, unknown):
        return "a row, not a column, for each letter: vectors.T"
    symbols = vectors.index if hasattr(vectors, "iloc") else vectors
    characters = [s for s in unknown if isinstance(s, str) and len(s) == 1]
    no_letters = [s for s in characters if s.isspace() or s.isdigit()]
    if no_letters and not any(str(symbol).isdigit() for symbol in symbols):
        without = _without(sequences, no_letters)
        return f"sequences without spaces, ends of lines and digits{without}"
    without = _without(sequences, unknown)
    return _with_vectors(vectors, unknown) + (
        without and f", or sequences without{without}"
    )


def _are_columns(vectors, unknown):
    """Whether a table has a column for each letter, in place of a row."""
    if not hasattr(vectors, "iloc"):
        return False
    columns = _rows_by_symbol(column_names(vectors))
    are_rows = any(symbol in columns for symbol in vectors.index)
    return not are_rows and any(_is_known(symbol, columns) for symbol in unknown)


def _with_vectors(vectors, unknown):
    """What gives vectors to the unknown symbols, too."""
    if hasattr(vectors, "iloc"):
        return (
            f"a row for each, such as the mean: vectors.reindex([*vectors.index, "
            f"*{unknown}]).fillna(vectors.mean())"
        )
    if isinstance(vectors, Mapping):
        return (
            f"a vector for each, such as the mean: {{**dict.fromkeys({unknown}, "
            f"np.mean(list(vectors.values()), axis=0)), **vectors}}"
        )
    if not isinstance(vectors, str) or not all(isinstance(s, str) for s in unknown):
        return f"them among the symbols of fit, vectors=[*vectors, *{unknown}]"
    letters = vectors + "".join(unknown)
    # A fitted model has a feature for each of its letters: others have their mean.
    return (
        f"them among the letters of fit, vectors={letters!r}; for a fitted model, their "
        f"mean, pd.DataFrame(np.eye({len(vectors)}), [*{vectors!r}], [*{vectors!r}])"
        f".reindex([*{letters!r}], fill_value=1 / {len(vectors)})"
    )


def _without(sequences, symbols):
    """A line that leaves characters out, where sequences are a list of str."""
    is_list = isinstance(sequences, list | tuple)
    if not is_list or not all(isinstance(x, str) for x in sequences):
        return ""
    table = f"str.maketrans('', '', {''.join(symbols)!r})"
    return f": [x.translate({table}) for x in sequences]"
