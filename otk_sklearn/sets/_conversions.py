"""Collections of time series, letters, cells, padded arrays and lists of Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from otk_sklearn.sets._anndata import read_anndata
from otk_sklearn.sets._list_columns import sets_of_lists
from otk_sklearn.sets._offsets import offsets_of
from otk_sklearn.sets._padded_arrays import check_padded
from otk_sklearn.sets._series import (
    check_no_gaps_in_time,
    check_panel,
    ends_without_padding,
    is_panel,
    read_series,
    warn_about_zeros,
)
from otk_sklearn.sets._symbols import read_sequences

if TYPE_CHECKING:
    import awkward as ak
    import pandas as pd
    import pyarrow as pa
    from anndata import AnnData


class Conversions:
    """Base class of `SetCollection`."""

    @classmethod
    def from_padded(
        cls,
        X: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        names: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from a padded array.

        Parameters
        ----------
        X : array-like of shape (n_sets, max_length, n_features)
            As in tslearn, and as encoders return token vectors.
        lengths : array-like of int of shape (n_sets,), default=None
            The first `lengths[i]` rows of `X[i]` are its elements.
        mask : array-like of bool of shape (n_sets, max_length), default=None
            True, or 1, for real elements; False, or 0, for padding.
            Without `lengths` and `mask`, rows of NaN at the end of a set are padding. Rows
            of zeros are elements, with a warning where they look like padding.
        names : array-like of shape (n_sets,), default=None
            A unique name of each set.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If both `lengths` and `mask` are given, shapes don't fit, or neither is given
            and a row of NaN comes before others.

        Warns
        -----
        UserWarning
            If neither is given, and rows of zeros at the ends of sets, or at their starts,
            look like padding.

        See Also
        --------
        to_padded : The inverse.
        from_series : Takes time series with channels before time, too.

        Examples
        --------
        >>> import numpy as np
        >>> from otk_sklearn import SetCollection
        >>> padded = np.arange(12.0).reshape(2, 3, 2)
        >>> SetCollection.from_padded(padded, lengths=[1, 3])
        SetCollection(n_sets=2, n_elements=4, n_features=2, lengths 1 to 3, float64)

        Rows of NaN at the end are padding, as in tslearn:

        >>> padded[0, 1:] = np.nan
        >>> SetCollection.from_padded(padded).lengths
        array([1, 3])
        """
        X, mask = check_padded(X, lengths, mask)
        offsets = offsets_of(mask.sum(axis=1))
        return cls(X[mask], offsets, names=names, feature_names=feature_names)

    @classmethod
    def from_series(
        cls,
        X: ArrayLike | Sequence[ArrayLike],
        *,
        time_axis: Literal[-1, -2] | None = None,
        positions: ArrayLike | Sequence[ArrayLike] | None = None,
        names: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from time series, with an element for each time step.

        Steps of nothing but NaN at the end of a series are padding, and left out.

        Parameters
        ----------
        X : sequence of 2-D arrays, 3-D array, or DataFrame or Series of pandas
            The series. Those of aeon, sktime and tslearn:

            - a list of arrays, of any lengths, or an array of all, which may be padded;
            - a list of DataFrames, with a row for each time step;
            - a long table whose index has a level for the series, or several, and time as
              its last level: the former are the names of the series;
            - a table of sktime with a series of numbers in each cell, one for each channel.
        time_axis : {-1, -2, None}, default=None
            The axis of time in an array of one series or of all, counted from the end: -1
            where it comes last, (n_channels, n_timepoints), as in aeon and sktime; -2 where
            it comes before channels, (n_timepoints, n_channels), as in tslearn. None is for
            tables, whose rows are time steps.
        positions : array-like of shape (n_timepoints,), or sequence of one for each \
                series, default=None
            The coordinate of each time step: the same in all series, which may be shorter,
            or in each. Of a long table, of each row. None means those that estimators count
            themselves, `i / n` for step `i` of `n`, if they have a `position`.
        names : array-like of shape (n_series,), default=None
            A unique name of each series. None means the index, if X has one.
        feature_names : array-like of str of shape (n_channels,), default=None
            Names of the channels. None means the columns of tables.

        Returns
        -------
        SetCollection

        Raises
        ------
        ValueError
            If `time_axis` is missing or can't be right, a series has NaN before its end, or
            a long table is not in the order of time. If the last level of its index has
            text, or another level the name of time.

        Warns
        -----
        UserWarning
            If rows of zeros at the ends of series, or at their starts, look like padding.

        See Also
        --------
        from_groups : Long tables without time.
        from_padded : Padded arrays with a mask, or with NaN for an imputer.

        Examples
        --------
        >>> import numpy as np
        >>> from otk_sklearn import SetCollection
        >>> X = [np.zeros((6, 100)), np.ones((6, 80))]  # of 6 channels
        >>> SetCollection.from_series(X, time_axis=-1)
        SetCollection(n_sets=2, n_elements=180, n_features=6, lengths 80 to 100, float64)

        By default, the positions of each series are counted from 0 to 1. Seconds since the
        start, as a part of 100 seconds, are the same time in all of them:

        >>> seconds = np.arange(100)
        >>> sets = SetCollection.from_series(X, time_axis=-1, positions=seconds / 100)
        >>> float(sets[[1]].positions.max())
        0.79

        A long table:

        >>> import pandas as pd
        >>> index = pd.MultiIndex.from_tuples([("a", 0), ("a", 1), ("b", 0)])
        >>> table = pd.DataFrame({"speed": [1.0, 2.0, 3.0]}, index=index)
        >>> SetCollection.from_series(table).names.tolist()
        ['a', 'b']
        """
        if is_panel(X):
            others = {"names": names, "feature_names": feature_names}
            table, groups = check_panel(X, time_axis, others)
            sets = cls.from_groups(table, groups, positions=positions)
        else:
            sets = cls(**read_series(X, time_axis, positions, names, feature_names))
            warn_about_zeros(sets, time_axis)
        sets = sets._until(ends_without_padding(sets))
        check_no_gaps_in_time(sets, X, time_axis)
        return sets

    def _until(self, ends):
        """The same sets, each up to the element of all before which it is to end."""
        if (ends == self.offsets[1:]).all():
            return self
        lengths = ends - self.offsets[:-1]
        is_kept = np.arange(self.offsets[-1]) < np.repeat(ends, self.lengths)
        return self._take(slice(None), np.flatnonzero(is_kept), offsets_of(lengths))

    @classmethod
    def from_sequences(
        cls,
        sequences: str | Sequence[str] | Mapping[Any, str] | pd.Series,
        vectors: str | Sequence[str] | Mapping[str, ArrayLike] | pd.DataFrame,
        *,
        names: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from letters, such as those of proteins and DNA.

        Parameters
        ----------
        sequences : sequence of str, mapping, Series, or str
            The letters of each sequence; lists of words do as well. A mapping or a Series
            has the name of each. A str is the text of a FASTA file, in which the first word
            of a header is the name. A missing sequence is an empty set.
        vectors : str, sequence of str, mapping, or DataFrame
            The vector of each letter. Letters alone, such as "ACGT", stand for one-hot
            vectors, in this order. Otherwise, the vector (or a number) of each letter by
            its name, or a table with a row for each, such as a substitution matrix. A
            letter has that of the other case if it has none itself.
        names : array-like of shape (n_sets,), default=None
            A unique name of each sequence. None means those that `sequences` has.

        Returns
        -------
        SetCollection
            Of the letters, in their order. Features have the names of the letters, or of
            the columns of the table.

        Raises
        ------
        ValueError
            If a letter has no vector, such as that of an unknown residue, or a gap. The
            message lists all of them.

        See Also
        --------
        otk_sklearn.datasets.load_peptides : Peptides, as one-hot vectors.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sequences(["GAT", "TA"], "ACGT")[0]
        array([[0., 0., 1., 0.],
               [1., 0., 0., 0.],
               [0., 0., 0., 1.]])
        >>> hydropathy = {"A": 1.8, "C": 2.5, "D": -3.5, "E": -3.5}
        >>> X = SetCollection.from_sequences(">first\\nACD\\nE\\n>second\\nCC", hydropathy)
        >>> X.names.tolist(), X.values.ravel().tolist()
        (['first', 'second'], [1.8, 2.5, -3.5, -3.5, 2.5, 2.5])
        """
        return cls(**read_sequences(sequences, vectors, names))

    @classmethod
    def from_anndata(cls, adata: AnnData, groups: ArrayLike, *, obsm: str | None) -> Self:
        """Construct a collection from an AnnData, with a set of cells for each patient.

        Sets come in the order in which their labels first appear in `adata.obs`, and cells
        keep their order within a set. Where the cells of every set are together, a dense
        array of floats is not copied.

        Parameters
        ----------
        adata : AnnData of shape (n_obs, n_vars)
            In memory, a view of another one, or backed by a file.
        groups : str or array-like of shape (n_obs,)
            The column of `adata.obs` that tells which set a cell belongs to, such as its
            patient or sample; or these labels themselves. They become the names of the
            sets. Categories without cells are no sets.
        obsm : str or None
            The array of `adata.obsm` whose rows are the elements, such as `"X_pca"`. None
            means `adata.X`, which must be dense; the features are then named by
            `adata.var_names`. There is no default: genes and components are both usual.

        Returns
        -------
        SetCollection
            Its `rows` are those of `adata`: `to_rows` brings what is computed for cells
            into their order, as a column for `adata.obs`.

        Raises
        ------
        TypeError
            If `adata` is no AnnData, or what is chosen of it is sparse.
        ValueError
            If there is no such column or array, or a cell has no label. The message names
            the first one.

        See Also
        --------
        from_groups : Of other tables, and of layers, by `adata.to_df(layer)`.
        align : Brings what is known of patients into the order of the sets.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from anndata import AnnData  # doctest: +SKIP
        >>> from otk_sklearn import SetCollection
        >>> obs = pd.DataFrame(
        ...     {"patient": ["p2", "p1", "p2"], "disease": ["no", "yes", "no"]},
        ...     index=["cell-0", "cell-1", "cell-2"],
        ...     dtype="category",
        ... )
        >>> pca = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
        >>> adata = AnnData(obs=obs, obsm={"X_pca": pca})  # doctest: +SKIP
        >>> X = SetCollection.from_anndata(adata, "patient", obsm="X_pca")  # doctest: +SKIP
        >>> X[0]  # doctest: +SKIP
        array([[0., 1.],
               [4., 5.]])

        What is known of patients stands in `adata.obs`, too:

        >>> disease = obs.groupby("patient", observed=True)["disease"].first()
        >>> X.align(disease).tolist()  # doctest: +SKIP
        ['no', 'yes']
        """
        values, labels, feature_names = read_anndata(adata, groups, obsm)
        sets = cls.from_groups(values, labels)
        if feature_names is None:
            return sets
        return sets.with_values(sets.values, feature_names=feature_names)

    @classmethod
    def from_arrow(
        cls,
        array: Any,
        *,
        weights: Any = None,
        positions: Any = None,
        names: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from Arrow lists (pyarrow, Parquet, polars, DuckDB, ...).

        Needs pyarrow; `pip install "otk-sklearn[arrow]"`.

        Parameters
        ----------
        array : array of lists, or table of such arrays
            Of pyarrow, pandas, or any library with the Arrow PyCapsule interface. An array
            has a list of elements for each set, empty or null for an empty set. Elements
            are lists of equal length, of fixed size or not, structs of numbers, or
            numbers: sets with 1 feature. A table has such an array for each feature (or
            several). A tensor of shape (n_elements, n_features) is a set, too: those of
            Arrow and of Ray Data, of fixed or variable shape. Missing numbers become NaN.
            float16 and float32 become float32, everything else float64.
            float32 and float64 in lists of fixed size, and in one chunk, are not copied.
            Names of columns or fields with one feature each are those of the features.
        weights : array of lists of numbers, default=None
            A list for each set, with a number for each of its elements.
        positions : array of lists, or table of such arrays, default=None
            Likewise, with 1 or 2 numbers for each element.
        names : array-like of shape (n_sets,), default=None
            A unique name of each set: another column, for example. None means the index,
            if the array is of pandas.

        Returns
        -------
        SetCollection

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        ValueError
            If these are no lists of numbers, lengths don't fit, an element is missing, or
            no set has an element that tells the number of features, nor does the type.

        Warns
        -----
        UserWarning
            As from `from_sets`, about rows of zeros that look like padding.

        See Also
        --------
        to_arrow : The inverse.

        Examples
        --------
        >>> import pyarrow as pa
        >>> from otk_sklearn import SetCollection
        >>> table = pa.table({"x": [[0.0, 1.0], [2.0]], "y": [[3.0, 4.0], [5.0]]})
        >>> SetCollection.from_arrow(table)[0]
        array([[0., 3.],
               [1., 4.]])
        """
        from otk_sklearn.sets._arrow import read_arrow

        columns = {"weights": weights, "positions": positions, "names": names}
        return sets_of_lists(cls, "from_arrow", read_arrow, array, **columns)

    @classmethod
    def from_awkward(
        cls,
        array: ak.Array,
        *,
        weights: ak.Array | None = None,
        positions: ak.Array | None = None,
        names: ArrayLike | None = None,
    ) -> Self:
        """Construct a collection from an awkward array.

        Needs awkward; `pip install "otk-sklearn[awkward]"`.

        Parameters
        ----------
        array : awkward.Array of type `n_sets * var * n_features * number`
            Elements may also be lists of equal length, `n_sets * var * var * number`,
            records with a number for each feature, `n_sets * var * {x: number, y: number}`,
            or numbers. A record of lists, `n_sets * {x: var * number, y: var * number}`,
            is taken likewise. A missing list is an empty set; missing numbers become NaN.
            float16 and float32 become float32, everything else float64.
            float32 and float64 side by side in memory are not copied. Fields of records
            are the names of features.
        weights : awkward.Array of type `n_sets * var * number`, default=None
            A number for each element.
        positions : awkward.Array like `array`, default=None
            With 1 or 2 numbers for each element.
        names : array-like of shape (n_sets,), default=None
            A unique name of each set.

        Returns
        -------
        SetCollection

        Raises
        ------
        ImportError
            If awkward is not installed.
        ValueError
            If these are no lists of numbers, lengths don't fit, an element is missing, or
            no set has an element that tells the number of features, nor does the type.

        Warns
        -----
        UserWarning
            As from `from_sets`, about rows of zeros that look like padding.

        See Also
        --------
        to_awkward : The inverse.

        Examples
        --------
        >>> import awkward as ak
        >>> from otk_sklearn import SetCollection
        >>> array = ak.Array([[{"x": 0, "y": 3}, {"x": 1, "y": 4}], [{"x": 2, "y": 5}]])
        >>> SetCollection.from_awkward(array)[0]
        array([[0., 3.],
               [1., 4.]])
        """
        from otk_sklearn.sets._awkward import read_awkward

        columns = {"weights": weights, "positions": positions, "names": names}
        return sets_of_lists(cls, "from_awkward", read_awkward, array, **columns)

    def to_arrow(self) -> pa.LargeListArray:
        """Return the elements as an Arrow array of lists, without a copy.

        It can be a column of a table, or of a Parquet file, next to others with one value
        per set. Weights are not included; they make another column:
        `pyarrow.LargeListArray.from_arrays(sets.offsets, sets.weights)`.

        Returns
        -------
        pyarrow.LargeListArray of lists of fixed size of shape (n_sets,)
            A list of elements for each set.

        Raises
        ------
        ImportError
            If pyarrow is not installed.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> array = SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]]).to_arrow()
        >>> array.type
        LargeListType(large_list<item: fixed_size_list<item: double>[2]>)
        >>> SetCollection.from_arrow(array)[1]
        array([[4., 5.]])
        """
        from otk_sklearn.sets._arrow import write_arrow

        return write_arrow(self)

    def to_awkward(self) -> ak.Array:
        """Return the elements as an awkward array, without a copy.

        Weights are not included; they are `awkward.unflatten(sets.weights, sets.lengths)`.

        Returns
        -------
        awkward.Array of type `n_sets * var * n_features * float`
            A list of elements for each set.

        Raises
        ------
        ImportError
            If awkward is not installed.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[0, 1], [2, 3]], [[4, 5]]]).to_awkward()
        <Array [[[0, 1], [2, 3]], [[4, 5]]] type='2 * var * 2 * float64'>
        """
        from otk_sklearn.sets._awkward import write_awkward

        return write_awkward(self)

    def to_padded(self, fill_value: float = np.nan) -> NDArray[np.floating]:
        """Return the elements as one array, padded to the longest set.

        Parameters
        ----------
        fill_value : float, default=nan
            Value of the rows of padding.

        Returns
        -------
        ndarray of shape (n_sets, max_length, n_features)
            The elements of each set, followed by its padding.

        Examples
        --------
        >>> from otk_sklearn import SetCollection
        >>> SetCollection.from_sets([[[1], [2]], [[3]]]).to_padded(fill_value=0)[:, :, 0]
        array([[1., 2.],
               [3., 0.]])
        """
        is_element = np.arange(self.lengths.max(initial=0)) < self.lengths[:, np.newaxis]
        padded = np.full((*is_element.shape, self.n_features), fill_value, self.dtype)
        padded[is_element] = self.values
        return padded
