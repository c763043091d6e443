"""`ImportanceDisplay`: what the elements of one set add to a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier, is_regressor

from otk_sklearn.display._drawing import DIVERGING, name_ticks, point_area, pyplot
from otk_sklearn.display._elements import SIZES, ElementsDisplay, element_layout
from otk_sklearn.inspection._contributions import element_contributions
from otk_sklearn.inspection._element_labels import number_labels
from otk_sklearn.sets._validation import as_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


class ImportanceDisplay(ElementsDisplay):
    """What the elements of one set add to the decision of a linear model.

    It is recommended to use `ImportanceDisplay.from_estimator` to create a display. All
    parameters are stored as attributes.

    Parameters
    ----------
    contributions : ndarray of shape (n_elements,)
        What each element adds; or the elements of each label together, with `counts`.
    constant : float, default=0.0
        The rest of the decision, which is the same for all sets.
    kind : {"bars", "points", "grid"}, default="bars"
        What is drawn: a bar for each element, in their order; points at their coordinates;
        or an image. Colours are centred at 0.
    coordinates : ndarray of shape (n_elements, 2), default=None
        Horizontal and vertical places of the elements, for "points" and "grid" (whose
        vertical axis goes down).
    coordinate_names : pair of str, default=None
        Labels of the axes of "points" and "grid".
    element_names : sequence of str of length n_elements, default=None
        Labels of the bars. None numbers them. Where letters are too many, some bars are
        labelled by letter and number, counted from 1, such as "K120".
    counts : ndarray of int of shape (n_elements,), default=None
        How many elements each bar is the sum of, behind its label. None means that each is
        one element.
    set_name : str, default=None
        Name of the set, for the title.
    target_name : str, default=None
        The target that elements contribute to.

    Attributes
    ----------
    bars_ : matplotlib BarContainer or None
    im_ : matplotlib AxesImage or None
        The grid.
    points_ : matplotlib PathCollection or None
    key_ : matplotlib Colorbar or None
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    otk_sklearn.inspection.element_contributions : The contributions, and their formula.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.display import ImportanceDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 4, 15)]
    >>> model = make_pipeline(OTKEmbedding(4, n_components=8), LogisticRegression())
    >>> model = model.fit(X, ["a", "b", "b", "a"])
    >>> display = ImportanceDisplay.from_estimator(model, X, index=2, element_names="GLFD")
    >>> display.target_name
    'class b'
    """

    __module__ = "otk_sklearn.display"  # where users import it from

    def __init__(
        self,
        contributions: NDArray[np.floating],
        *,
        constant: float = 0.0,
        kind: Literal["bars", "points", "grid"] = "bars",
        coordinates: NDArray[np.floating] | None = None,
        coordinate_names: tuple[str, str] | None = None,
        element_names: Sequence[str] | None = None,
        counts: NDArray[np.int64] | None = None,
        set_name: str | None = None,
        target_name: str | None = None,
    ) -> None:
        self.contributions = contributions
        self.constant = constant
        self.kind = kind
        self.coordinates = coordinates
        self.coordinate_names = coordinate_names
        self.element_names = element_names
        self.counts = counts
        self.set_name = set_name
        self.target_name = target_name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SetsLike,
        *,
        index: int | None = None,
        target: Any = None,
        kind: Literal["auto", "bars", "points", "grid"] = "auto",
        columns: tuple[int | str, int | str] | None = None,
        element_names: str | Sequence[str] | None = None,
        by: ArrayLike | Sequence[ArrayLike] | None = None,
        ax: Axes | None = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw what the elements of a set add to the decision of a fitted model.

        Parameters
        ----------
        estimator : estimator
            A fitted Pipeline with an `OTKEmbedding` or `KernelMeanEmbedding` and a linear
            model, an `OTKClassifier` or `OTKRegressor`, or a search, as for
            :func:`~otk_sklearn.inspection.element_contributions`.
        X : sets
            As for the estimator. Elements are drawn as passed, before any steps in front of
            the embedding; windows distribute their contributions over their rows.
        index : int, default=None
            The set of X to draw. None means that X holds only one.
        target : class label or int, default=None
            The class to explain; of a regressor with several outputs, the number of one.
            None means the second of two classes, the predicted one of several, or output 0.
        kind : {"auto", "bars", "points", "grid"}, default="auto"
            As above. "auto" is "points" if `columns` are given, "bars" if
            `element_names` are, "grid" for positions that fill a grid, such as those of
            4-D input, "points" for elements of two features, and otherwise "bars".
        columns : pair of int or str, default=None
            The two features that are a point's horizontal and vertical coordinate. None
            means the first two.
        element_names : str or sequence of str of length n_elements, default=None
            Names of the elements of this set; the letters of a string.
        by : array-like of shape (n_elements,), or list of one array-like of shape \
                (n_elements_i,) for each set, default=None
            A label of each element of X, such as the type of a cell, as for
            :func:`~otk_sklearn.inspection.element_contributions`. There is a bar for each
            label, also for those that this set has no element of: the sum of the
            contributions of its elements.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        colorbar : bool, default=True
            Whether to explain the colours of "points" and "grid".

        Returns
        -------
        ImportanceDisplay
            The display, with its data.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If X holds several sets and `index` doesn't say which; if names, labels, columns
            or the target don't fit; or if the model is not linear.
        """
        pyplot(cls.__name__)
        if by is not None:
            kind = _kind_of_sums(kind, columns, element_names)
        all_sets = X
        X, layout = element_layout(X, index, kind, columns, element_names, "bars")
        of_outputs = element_contributions(estimator, X)
        contributions = of_outputs.contributions[0]
        scores = contributions.sum(axis=0) + of_outputs.constant
        output, sign, target_name = _target(estimator, scores, target)
        contributions = sign * contributions[:, output]
        if by is not None:
            contributions, of_labels = _sums(contributions, by, all_sets, index or 0)
            layout |= of_labels
        display = cls(
            contributions,
            constant=float(sign * of_outputs.constant[output]),
            **layout,
            target_name=target_name,
        )
        return display.plot(ax, colorbar=colorbar)

    @property
    def _size(self):
        if self.kind != "bars":
            return 6.4, 4.8
        return np.clip(2 + 0.14 * len(self.contributions), *SIZES)[0], 3.2

    def _draw(self, colorbar):
        self.bars_ = self.im_ = self.points_ = self.key_ = None
        largest = np.abs(self.contributions).max(initial=0) or 1.0
        scale = {"cmap": DIVERGING, "vmin": -largest, "vmax": largest}
        what = "contribution"
        if self.target_name is not None:
            what += f" to {self.target_name}"
        if self.kind == "bars":
            self._draw_bars(what)
        elif self.kind == "grid":
            self.im_ = self._draw_grid(self.contributions, **scale)
        else:
            area = point_area(len(self.contributions))
            self.points_ = self._draw_points(
                s=area, c=self.contributions, edgecolors="0.4", linewidths=0.5, **scale
            )
        if colorbar and self.kind != "bars":
            drawn = self.points_ if self.im_ is None else self.im_
            self.key_ = self.figure_.colorbar(drawn, ax=self.ax_, label=what)
        total = self.contributions.sum()
        of_set = "" if self.set_name is None else f"{self.set_name}: "
        self.ax_.set_title(
            f"{of_set}decision {total + self.constant:+.3g}: elements {total:+.3g}, "
            f"constant {self.constant:+.3g}",
            fontsize="medium",
            parse_math=False,
        )

    def _draw_bars(self, what):
        from matplotlib import colormaps

        low, high = colormaps[DIVERGING](0.1), colormaps[DIVERGING](0.9)
        n_elements = len(self.contributions)
        colors = [high if c > 0 else low for c in self.contributions]
        self.bars_ = self.ax_.bar(range(n_elements), self.contributions, color=colors)
        self.ax_.axhline(0, color="0.4", linewidth=0.8)
        self.ax_.set_xlim(-0.7, n_elements - 0.3)
        self._label_bars()
        self.ax_.set_ylabel(what)

    def _label_bars(self):
        if self.counts is None:
            self._label_element_axis()
            return
        names = [f"{name} ({n})" for name, n in zip(self.element_names, self.counts)]
        name_ticks(self.ax_.xaxis, names)
        self.ax_.set_xlabel("label (number of elements)")


def _kind_of_sums(kind, columns, element_names):
    """The kind of a picture of sums, or an error for what is only that of elements."""
    elements = {"columns": columns, "element_names": element_names}
    given = [name for name, value in elements.items() if value is not None]
    if given:
        raise ValueError(
            f"{given[0]} is given with by, whose labels have a bar each; expected by only."
        )
    if kind not in ("auto", "bars"):
        raise ValueError(f"kind is {kind!r} with by, which draws bars; expected 'bars'.")
    return "bars"


def _sums(contributions, by, X, index):
    """Sum the contributions of set `index` of X by label.

    Returns
    -------
    sums : ndarray of shape (n_labels,)
    of_labels : dict
        The names of the bars, and how many elements each is the sum of.
    """
    sets = as_sets(X, explain_rows=False)
    numbers, labels = number_labels(by, sets)
    of_set = numbers[sets.offsets[index] : sets.offsets[index + 1]]
    counts = np.bincount(of_set, minlength=len(labels))
    sums = np.bincount(of_set, contributions, minlength=len(labels))
    return sums, {"element_names": list(map(str, labels)), "counts": counts}


def _target(estimator, scores, target):
    """Return the output that is asked for, its sign, and what to call it."""
    if not is_classifier(estimator):
        target = 0 if target is None else target
        if target not in range(len(scores)):
            raise ValueError(
                f"target is {target!r}; expected 0 to {len(scores) - 1}, an output."
            )
        name = "the prediction" if is_regressor(estimator) else "the decision"
        return target, 1, name if len(scores) == 1 else f"{name} of output {target}"
    classes = np.asarray(estimator.classes_).tolist()
    if target is None:
        target = classes[-1] if len(scores) == 1 else classes[int(scores.argmax())]
    if target not in classes:
        raise ValueError(f"target is {target!r}; expected one of the classes {classes}.")
    output, name = classes.index(target), f"class {target}"
    if len(scores) > 1:
        return output, 1, name
    return 0, 1 if output == len(classes) - 1 else -1, name
