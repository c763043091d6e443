"""Who the sets of a collection are, what its columns mean, and which rows they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from otk_sklearn.sets._arrays import as_elements, as_rows
from otk_sklearn.sets._long_tables import check_no_columns, sort_by_group, split_groups
from otk_sklearn.sets._names import align, are_names, feature_names_of
from otk_sklearn.sets._offsets import offsets_of, scatter_rows
from otk_sklearn.sets._row_index import check_same_rows, is_range, row_index

if TYPE_CHECKING:
    import pandas as pd


class NamesAndRows:
    """Base class of `SetCollection`."""

    @classmethod
    def from_groups(
        cls,
        values: ArrayLike,
        groups: ArrayLike | tuple[Any, ...],
        *,
        weights: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from a long table, with a set for each group of rows.

        Sets come in the order in which their groups first appear, that of
        `pandas.unique(groups)`, and rows keep their order within a set. Where the rows of
        every group are together, an array of floats is not copied.

        Parameters
        ----------
        values : array-like or DataFrame of shape (n_elements, n_features)
            A DataFrame of pandas or polars must have features only, besides the column
            that `groups` names. Missing numbers become NaN. Names of its columns are those
            of the features.
        groups : array-like or Series of shape (n_elements,), or str, tuple or int
            The set that each row belongs to: strings, numbers, dates, tuples, a
            categorical or a MultiIndex. Labels of different types are different. A str is
            the name of a column of `values`, or of a level of its index; so is a tuple or
            an integer that is the label of a column. Labels of the rows become the names
            of the sets.
        weights : array-like or Series of shape (n_elements,), default=None
            Weight of each row.
        positions : array-like or DataFrame of shape (n_elements,) or \
                (n_elements, n_axes), default=None
            Coordinates of each row, on 1 or 2 axes.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If `groups` doesn't have one label a row, a label is missing, or `values` has
            columns that are not features: the groups, or text. If a Series has the index
            of `values` in another order: rows belong together by position, while pandas
            would align them by index.

        Warns
        -----
        UserWarning
            If `groups` is an index with a label of its own for each row, or a Series has
            an index that is only in part that of `values`.

        Notes
        -----
        Only the rows of this table are seen. In a part of a table, such as a partition of
        Dask or a batch of a file, sets that go on in the next part are cut, and nothing
        shows it: first bring all rows of a set into one part, by
        `table.shuffle(on="id")` in Dask, before `map_partitions`.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from otk_sklearn import SetCollection
        >>> table = pd.DataFrame(
        ...     {"id": ["b", "a", "b"], "x": [1, 2, 3], "ill": [True, False, True]}
        ... )
        >>> X = SetCollection.from_groups(table[["x"]], table["id"])
        >>> [elements.ravel().tolist() for elements in X]
        [[1.0, 3.0], [2.0]]

        The groups are the names of the sets, by which what is known of them is brought
        into their order:

        >>> X.names.tolist()
        ['b', 'a']
        >>> X.align(table.groupby("id")["ill"].first()).tolist()
        [True, False]

        What is computed for elements goes back to the table by `to_rows`:

        >>> table["length"] = X.to_rows(np.repeat(X.lengths, X.lengths))
        >>> table["length"].tolist()
        [2, 1, 2]
        """
        check_no_columns(weights, values, "weights")
        check_no_columns(positions, values, "positions")
        values, groups = split_groups(values, groups)
        check_same_rows(values=values, groups=groups, weights=weights, positions=positions)
        feature_names, values = feature_names_of(values), as_elements(values)
        order, lengths, names = sort_by_group(groups, len(values))
        if weights is not None:
            weights = as_rows(weights, len(values), "weights")[order]
        if positions is not None:
            positions = as_rows(positions, len(values), "positions")[order]
        sets = cls(
            values[order],
            offsets_of(lengths),
            weights=weights,
            positions=positions,
            names=names,
            feature_names=feature_names,
        )
        sets._n_rows = len(values)
        return sets._replace(_rows=np.arange(len(values))[order])

    def to_rows(self, values: ArrayLike | Sequence[ArrayLike]) -> NDArray[Any]:
        """Return what belongs to each element in the order of the rows of the table.

        Parameters
        ----------
        values : array-like of shape (n_elements,) or (n_elements, n_columns), or list of \
                one array for each set
            What belongs to each element, such as the `contributions` that
            `element_contributions` returns.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_columns)
            An entry for each row of the table that `from_groups`, `from_anndata` or
            `from_series` was given: NaN (or NaT) where its element is not among these sets,
            some of those made of the table.

        Raises
        ------
        ValueError
            If the sets were not made of a table, or values don't fit.

        See Also
        --------
        from_groups : Has an example.
        """
        if self._rows is None:
            raise ValueError(
                "These sets don't know their rows; expected sets made of a table, by "
                "from_groups, from_anndata or from_series."
            )
        if isinstance(values, list | tuple) and all(map(np.ndim, values)):
            values = np.concatenate([np.asarray(part) for part in values])
        values = np.asarray(values)
        if values.shape[:1] != (len(self._values),):
            raise ValueError(
                f"values has shape {values.shape}; expected one entry an element, "
                f"{len(self._values)}, or an array for each of the {len(self)} sets."
            )
        return scatter_rows(values, self._rows, self._n_rows)

    def align(self, y: pd.Series | pd.DataFrame | Mapping[Any, Any]) -> NDArray[Any]:
        """Return targets by name in the order of the sets.

        Parameters
        ----------
        y : Series, DataFrame or mapping
            With a value (or a row of them) for the name of each set. Others are left out.
            NaN, None or NA is no value, and a row of nothing else no row.

        Returns
        -------
        ndarray of shape (n_sets,) or (n_sets, n_columns)
            The values, one after the other.

        Raises
        ------
        ValueError
            If the sets have no names, or a name has no value, or several. The message
            lists those that are missing. If y has a label for each row, without names.

        See Also
        --------
        from_groups : Names sets by their groups.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> X = SetCollection.from_sets([[[0.0]], [[1.0]]], names=["b", "a"])
        >>> X.align({"a": 1, "b": 2, "c": 3})
        array([2, 1])
        """
        if self._names is None:
            raise ValueError("These sets have no names; expected sets with names.")
        self._check_not_by_row(y)
        return align(y, self._names)

    def _check_not_by_row(self, y):
        """Raise an error for labels of rows, whose numbers may be names of sets, too."""
        of_rows = self._rows is not None and is_range(row_index(y))
        if of_rows and len(y) == self._n_rows != len(self):
            raise ValueError(
                f"y has an entry for each of {len(y)} rows, and no names of sets in its "
                f"index; expected an entry for each of {len(self)} sets, by its name: "
                "y.groupby(groups).first(), with the groups of these rows."
            )

    @property
    def names(self) -> NDArray[Any] | None:
        """Name of each set, or None."""
        return None if self._names is None else self._names.view()

    @property
    def feature_names(self) -> NDArray[np.object_] | None:
        """Name of each feature, or None."""
        return self.column_labels if are_names(self._feature_names) else None

    @property
    def column_labels(self) -> NDArray[np.object_] | None:
        """Label of each column of the table that these features were, or None.

        These are the feature names, except for a DataFrame whose columns have other labels,
        such as integers: they are no names of features, as in scikit-learn.
        """
        return None if self._feature_names is None else self._feature_names.view()

    @property
    def index(self) -> pd.Index | None:
        """Index of embeddings that are DataFrames of pandas, or None.

        It is that of the Series or DataFrame that these sets were, which transformers keep,
        or else made of the names.
        """
        if self._index is not None or self._names is None:
            return self._index
        import pandas as pd

        return pd.Index(self._names.tolist())

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """Which row of the table that sets were made of each element was, or None."""
        return None if self._rows is None else self._rows.view()
