"""`TransportPlanDisplay`: where the transport plan sends the elements of one set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from otk_sklearn.display._drawing import (
    SEQUENTIAL,
    SupportColors,
    check_reference,
    number_ticks,
    order_by_similarity,
    point_area,
    pyplot,
)
from otk_sklearn.display._elements import SIZES, ElementsDisplay, element_layout
from otk_sklearn.inspection._pipeline_steps import model_steps
from otk_sklearn.inspection._plans import element_plans

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


class TransportPlanDisplay(ElementsDisplay):
    """The transport plan of one set.

    It is recommended to use `TransportPlanDisplay.from_estimator` to create a display. All
    parameters are stored as attributes.

    Parameters
    ----------
    plan : ndarray of shape (n_elements, n_supports)
        Mass that each element sends to each support.
    kind : {"heatmap", "points", "grid"}, default="heatmap"
        What is drawn:

        - "heatmap": the plan, supports by elements;
        - "points": elements at their coordinates, in the colour of the support that takes
          most of their mass, the paler the smaller that part of it is. The area of a point
          is the mass that it sends;
        - "grid": as an image, in the same colours.
    coordinates : ndarray of shape (n_elements, 2), default=None
        Horizontal and vertical places of the elements, for "points" and "grid" (whose
        vertical axis goes down).
    coordinate_names : pair of str, default=None
        Labels of the axes of "points" and "grid".
    element_names : sequence of str of length n_elements, default=None
        Labels of elements in the heat map. None numbers them.
    set_name : str, default=None
        Name of the set, for the title.
    support_order : ndarray of int of shape (n_supports,), default=None
        Place of each support on the scale of colours that more than ten of them have. None
        means in the order of their numbers.

    Attributes
    ----------
    im_ : matplotlib AxesImage or None
        The heat map or grid.
    points_ : matplotlib PathCollection or None
        The points.
    key_ : matplotlib Colorbar or Legend or None
        What explains the colours.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    otk_sklearn.inspection.element_plans : The plans.
    SupportsDisplay : What each support stands for.
    ImportanceDisplay : What each element adds to a decision.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.display import TransportPlanDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 2)) for n in (20, 35)]
    >>> embedding = OTKEmbedding(4, n_components=8, random_state=0).fit(X)
    >>> display = TransportPlanDisplay.from_estimator(embedding, X, index=1)
    >>> display.kind
    'points'
    """

    __module__ = "otk_sklearn.display"  # where users import it from

    def __init__(
        self,
        plan: NDArray[np.floating],
        *,
        kind: Literal["heatmap", "points", "grid"] = "heatmap",
        coordinates: NDArray[np.floating] | None = None,
        coordinate_names: tuple[str, str] | None = None,
        element_names: Sequence[str] | None = None,
        set_name: str | None = None,
        support_order: NDArray[np.int64] | None = None,
    ) -> None:
        self.plan = plan
        self.kind = kind
        self.coordinates = coordinates
        self.coordinate_names = coordinate_names
        self.element_names = element_names
        self.set_name = set_name
        self.support_order = support_order

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SetsLike,
        *,
        index: int | None = None,
        kind: Literal["auto", "heatmap", "points", "grid"] = "auto",
        columns: tuple[int | str, int | str] | None = None,
        element_names: str | Sequence[str] | None = None,
        reference: int = 0,
        ax: Axes | None = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the plan between a set and a reference of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or
            search with one.
        X : sets
            As for the estimator. Elements are drawn as passed, before any steps in front of
            the embedding; windows distribute their mass over their rows.
        index : int, default=None
            The set of X to draw. None means that X holds only one.
        kind : {"auto", "heatmap", "points", "grid"}, default="auto"
            As above. "auto" is "points" if `columns` are given, "heatmap" if
            `element_names` are, "grid" for positions that fill a grid, such as those of
            4-D input, "points" for elements of two features, and otherwise "heatmap".
        columns : pair of int or str, default=None
            The two features that are a point's horizontal and vertical coordinate. None
            means the first two.
        element_names : str or sequence of str of length n_elements, default=None
            Names of the elements of this set; the letters of a string.
        reference : int, default=0
            Reference that the plan leads to.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        colorbar : bool, default=True
            Whether to explain the colours.

        Returns
        -------
        TransportPlanDisplay
            The display, with its data.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If X holds several sets and `index` doesn't say which, or names or columns
            don't fit the elements.
        """
        pyplot(cls.__name__)
        steps = model_steps(estimator)
        references = steps.embedding.references_
        check_reference(reference, references)
        X, layout = element_layout(X, index, kind, columns, element_names, "heatmap")
        display = cls(
            element_plans(estimator, X)[0][reference],
            **layout,
            support_order=order_by_similarity(references[reference]),
        )
        return display.plot(ax, colorbar=colorbar)

    @property
    def _size(self):
        if self.kind != "heatmap":
            return 6.4, 4.8
        n_elements, n_supports = self.plan.shape
        return np.clip([2 + 0.14 * n_elements, 1.5 + 0.14 * n_supports], *SIZES)

    def _draw(self, colorbar):
        self.im_ = self.points_ = self.key_ = None
        if self.kind == "heatmap":
            self._draw_heatmap(colorbar)
        else:
            self._draw_places(colorbar)
        if self.set_name is not None:
            self.ax_.set_title(self.set_name, fontsize="medium", parse_math=False)

    def _draw_heatmap(self, colorbar):
        self.im_ = self.ax_.imshow(
            self.plan.T, aspect="auto", interpolation="nearest", cmap=SEQUENTIAL, vmin=0
        )
        self._label_element_axis()
        number_ticks(self.ax_.yaxis)
        self.ax_.set_ylabel("support")
        if colorbar:
            self.key_ = self.figure_.colorbar(self.im_, ax=self.ax_, label="mass")

    def _draw_places(self, colorbar):
        order = self.support_order
        colors = SupportColors(np.arange(self.plan.shape[1]) if order is None else order)
        masses = self.plan.sum(axis=1)
        largest = self.plan.max(axis=1)
        part = largest / np.where(masses > 0, masses, 1)
        edge = colors.rgba[self.plan.argmax(axis=1), :3]
        face = 1 - part[:, np.newaxis] * (1 - edge)
        if self.kind == "grid":
            self.im_ = self._draw_grid(face)
        else:
            area = point_area(len(masses)) * masses / (masses.max() or 1.0)
            self.points_ = self._draw_points(s=area, c=face, edgecolors=edge)
        if colorbar:
            self.key_ = colors.add_key(self.ax_)
