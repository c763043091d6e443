"""`SupportsDisplay`: what the supports of a model stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from otk_sklearn.display._drawing import (
    DIVERGING,
    SEQUENTIAL,
    Display,
    SupportColors,
    check_columns,
    check_reference,
    feature_names_of,
    name_ticks,
    number_ticks,
    order_by_similarity,
    pyplot,
)
from otk_sklearn.display._names import check_names_of_sets
from otk_sklearn.inspection._nearest_elements import nearest_elements
from otk_sklearn.inspection._pipeline_steps import model_steps
from otk_sklearn.sets._validation import as_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


# Elements that are drawn behind the nearest ones.
_MAX_BACKGROUND = 2000


class SupportsDisplay(Display):
    """What each support stands for: the elements of a collection that are nearest to it.

    It is recommended to use `SupportsDisplay.from_estimator` to create a display. All
    parameters are stored as attributes.

    Parameters
    ----------
    similarity : ndarray of shape (n_supports, n_elements)
        That between supports and their nearest elements, the most similar ones first.
    set_index, start, stop : ndarray of int of shape (n_supports, n_elements)
        The elements are rows `start` (included) to `stop` (excluded) of set `set_index`.
    kind : {"text", "features", "points"}, default="text"
        What is drawn:

        - "text": a row of texts for each support, on the colour of their similarity;
        - "features": a heat map of the mean features of the elements nearest to each
          support;
        - "points": nearest elements at their coordinates, in the colour of the support,
          with its number among them, before a background of other elements.
    texts : ndarray of str of shape (n_supports, n_elements), default=None
        Names of the nearest elements, for "text".
    values : ndarray of shape (n_supports, n_elements, n_features), default=None
        Of the nearest elements: their features for "features", in standard deviations from
        the mean of all elements, or coordinates for "points". Of a window, the mean of its
        rows.
    feature_names : sequence of str of length n_features, default=None
        Names of the values.
    background : ndarray of shape (n_background, 2), default=None
        Coordinates of other elements, for "points".
    support_order : ndarray of int of shape (n_supports,), default=None
        Place of each support on the scale of colours that more than ten of them have. None
        means in the order of their numbers.

    Attributes
    ----------
    im_ : matplotlib AxesImage or None
        Similarities, or features.
    text_ : ndarray of Text, or None
        Of shape (n_supports, n_elements) for "text", (n_supports,) for "points".
    points_ : matplotlib PathCollection or None
    key_ : matplotlib Colorbar or Legend or None
        What explains the colours.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    otk_sklearn.inspection.nearest_elements : The elements, and where they are.
    TransportPlanDisplay : The transport plan of one set.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.display import SupportsDisplay
    >>> words = ["GLFDIVKKVV", "KWKLFKKIEK", "GIGKFLHSAKKF"]
    >>> X = [np.array([[ord(letter) % 5, ord(letter) % 7] for letter in w]) for w in words]
    >>> embedding = OTKEmbedding(3, n_components=4, filter_size=2, random_state=0).fit(X)
    >>> display = SupportsDisplay.from_estimator(
    ...     embedding, X, n_elements=2, element_names=words
    ... )
    >>> display.texts.shape
    (3, 2)
    """

    __module__ = "otk_sklearn.display"  # where users import it from

    def __init__(
        self,
        similarity: NDArray[np.floating],
        set_index: NDArray[np.int64],
        start: NDArray[np.int64],
        stop: NDArray[np.int64],
        *,
        kind: Literal["text", "features", "points"] = "text",
        texts: NDArray[np.str_] | None = None,
        values: NDArray[np.floating] | None = None,
        feature_names: Sequence[str] | None = None,
        background: NDArray[np.floating] | None = None,
        support_order: NDArray[np.int64] | None = None,
    ) -> None:
        self.similarity = similarity
        self.set_index = set_index
        self.start = start
        self.stop = stop
        self.kind = kind
        self.texts = texts
        self.values = values
        self.feature_names = feature_names
        self.background = background
        self.support_order = support_order

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SetsLike,
        *,
        n_elements: int = 5,
        kind: Literal["auto", "text", "features", "points"] = "auto",
        columns: tuple[int | str, int | str] | None = None,
        element_names: Sequence[str] | Sequence[Sequence[str]] | None = None,
        reference: int = 0,
        ax: Axes | None = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the elements of a collection that are nearest to the supports of a model.

        Parameters
        ----------
        estimator : estimator
            A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or
            search with one.
        X : sets
            As for the estimator. Elements are drawn as passed, before any steps in front of
            the embedding.
        n_elements : int, default=5
            How many distinct elements to show of each support.
        kind : {"auto", "text", "features", "points"}, default="auto"
            As above. "auto" is "points" if `columns` are given, "text" if `element_names`
            are, "points" for elements of two features, and otherwise "features".
        columns : pair of int or str, default=None
            The two features that are a point's horizontal and vertical coordinate. None
            means the first two.
        element_names : sequence of n_sets str or sequences of str, default=None
            Names of the elements of each set; the letters of a string.
        reference : int, default=0
            Reference whose supports are drawn.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        colorbar : bool, default=True
            Whether to explain the colours.

        Returns
        -------
        SupportsDisplay
            The display, with its data.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If names or columns don't fit the elements.
        """
        pyplot(cls.__name__)
        steps = model_steps(estimator)
        references = steps.embedding.references_
        check_reference(reference, references)
        rows = as_sets(X, explain_rows=False)
        kind = _kind(kind, columns, element_names, rows.n_features)
        if kind == "text":
            element_names = check_names_of_sets(element_names, rows)
        names = feature_names_of(rows)
        if kind == "points":
            columns = check_columns(columns, names)
        nearest = nearest_elements(estimator, X, n_elements)
        nearest = {name: array[reference] for name, array in nearest.items()}
        of_kind = {
            "kind": kind,
            "support_order": order_by_similarity(references[reference]),
        }
        if kind == "text":
            of_kind["texts"] = _texts(nearest, element_names)
        elif kind == "features":
            values = rows.values[:]
            spread = values.std(axis=0)
            means = _means(nearest, rows) - values.mean(axis=0)
            of_kind["values"] = means / np.where(spread > 0, spread, 1)
            of_kind["feature_names"] = names
        else:
            step = -(-len(rows.values) // _MAX_BACKGROUND)
            of_kind["values"] = _means(nearest, rows)[..., columns]
            of_kind["feature_names"] = [names[i] for i in columns]
            of_kind["background"] = rows.values[::step][:, columns]
        return cls(**nearest, **of_kind).plot(ax, colorbar=colorbar)

    @property
    def _size(self):
        n_supports, n_elements = self.similarity.shape
        width, height = 6.4, 4.8
        if self.kind == "text":
            longest = max(len(text) for text in self.texts.flat)
            width = np.clip(2.2 + n_elements * (0.3 + 0.1 * longest), 4.0, 14.0)
        if self.kind != "points":
            height = np.clip(1.2 + 0.22 * n_supports, 2.4, 12.0)
        return width, height

    def _draw(self, colorbar):
        self.im_ = self.text_ = self.points_ = self.key_ = None
        draw = {
            "text": self._draw_texts,
            "features": self._draw_features,
            "points": self._draw_points,
        }
        draw[self.kind](colorbar)

    def _draw_texts(self, colorbar):
        self.im_ = self.ax_.imshow(self.similarity, aspect="auto", cmap=SEQUENTIAL)
        self.text_ = np.empty(self.similarity.shape, object)
        for (j, i), text in np.ndenumerate(self.texts):
            dark = self.im_.norm(self.similarity[j, i]) < 0.5
            self.text_[j, i] = self.ax_.text(
                i,
                j,
                text,
                ha="center",
                va="center",
                family="monospace",
                parse_math=False,
                color="white" if dark else "black",
            )
        name_ticks(self.ax_.xaxis, [str(i + 1) for i in range(self.similarity.shape[1])])
        number_ticks(self.ax_.yaxis)
        self.ax_.set(xlabel="nearest elements", ylabel="support")
        if colorbar:
            self.key_ = self.figure_.colorbar(self.im_, ax=self.ax_, label="similarity")

    def _draw_features(self, colorbar):
        means = self.values.mean(axis=1)
        largest = np.abs(means).max() or 1.0
        self.im_ = self.ax_.imshow(
            means,
            aspect="auto",
            interpolation="nearest",
            cmap=DIVERGING,
            vmin=-largest,
            vmax=largest,
        )
        if self.feature_names is None:
            number_ticks(self.ax_.xaxis)
        else:
            name_ticks(self.ax_.xaxis, self.feature_names)
        number_ticks(self.ax_.yaxis)
        self.ax_.set_ylabel("support")
        if colorbar:
            label = "mean of the nearest,\nin standard deviations"
            self.key_ = self.figure_.colorbar(self.im_, ax=self.ax_, label=label)

    def _draw_points(self, colorbar):
        from matplotlib import patheffects

        halo = [patheffects.withStroke(linewidth=3, foreground="white")]
        order = self.support_order
        n_supports, n_elements, _ = self.values.shape
        colors = SupportColors(np.arange(n_supports) if order is None else order)
        if self.background is not None:
            self.ax_.scatter(*self.background.T, s=4, color="0.85", zorder=0)
        self.points_ = self.ax_.scatter(
            *self.values.reshape(-1, 2).T,
            s=30,
            c=np.repeat(colors.rgba, n_elements, axis=0),
        )
        self.text_ = np.empty(n_supports, object)
        for j, place in enumerate(self.values.mean(axis=1)):
            self.text_[j] = self.ax_.text(
                *place, str(j), ha="center", va="center", path_effects=halo
            )
        horizontal, vertical = self.feature_names or ("", "")
        self.ax_.set(xlabel=horizontal, ylabel=vertical)
        if colorbar:
            self.key_ = colors.add_key(self.ax_)


def _kind(kind, columns, element_names, n_features):
    kinds = ("auto", "text", "features", "points")
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}; expected one of {list(kinds)}.")
    if kind != "auto":
        return kind
    if columns is not None:
        return "points"
    if element_names is not None:
        return "text"
    return "points" if n_features == 2 else "features"


def _spans(nearest):
    """Index of each nearest element, and its set and rows."""
    for place, i in np.ndenumerate(nearest["set_index"]):
        yield place, i, slice(nearest["start"][place], nearest["stop"][place])


def _texts(nearest, element_names):
    texts = np.empty(nearest["set_index"].shape, object)
    letters = all(len(name) == 1 for names in element_names for name in names)
    for place, i, rows in _spans(nearest):
        texts[place] = ("" if letters else " ").join(element_names[i][rows])
    return texts


def _means(nearest, sets):
    """Mean features of the rows of each nearest element."""
    means = np.empty((*nearest["set_index"].shape, sets.n_features))
    for place, i, rows in _spans(nearest):
        means[place] = sets[i][rows].mean(axis=0)
    return means
