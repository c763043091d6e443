"""Shared by displays: selection of a set, layout of elements, colours, and ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Ten colours that the colour-blind tell apart: M. A. Petroff, arXiv:2107.02270.
_COLORS = (
    "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
).split()

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"

# Most numbers along a horizontal and a vertical axis, and most names, which may be letters.
_MAX_NUMBERS = {"x": 16, "y": 40}

_MAX_NAMES, _MAX_LETTERS = 40, 200

# Most characters of names side by side, before they are turned.
_MAX_CHARACTERS = 60


def pyplot(display):
    """Return matplotlib.pyplot, or raise an error that says what to install."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{display} needs matplotlib: pip install "otk-sklearn[display]"'
        ) from error
    return plt


def axes_for(display, ax, size):
    """Return the axes to draw on, those of a new figure of this size if `ax` is None."""
    plt = pyplot(type(display).__name__)
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


class Display:
    """Base class of displays with a key of colours.

    Subclasses implement `_size`, that of a new figure, and `_draw(colorbar)`.
    """

    def plot(self, ax: Axes | None = None, *, colorbar: bool = True) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        colorbar : bool, default=True
            Whether to explain the colours.

        Returns
        -------
        self : object
            The display itself, with what it has drawn as attributes.
        """
        self.ax_ = axes_for(self, ax, self._size)
        self.figure_ = self.ax_.figure
        self._draw(colorbar)
        return self


def check_index(X, index):
    """Return the index of the set to draw; None means that X has only one."""
    if index is None and len(X) != 1:
        raise ValueError(
            f"X holds {len(X)} sets; expected one, or index=0 to {len(X) - 1} to say which "
            "(a 2-D array is one set of its rows in a list: [X])."
        )
    index = 0 if index is None else index
    if isinstance(index, str):
        raise TypeError(
            f"index is {index!r}; expected the number of a set: of its name, "
            f"X.names.tolist().index({index!r})."
        )
    if not 0 <= index < len(X):
        raise ValueError(f"index is {index}; expected 0 to {len(X) - 1}, as X has sets.")
    return index


def check_reference(reference, references):
    """Raise an error if there is no reference of this index."""
    if not 0 <= reference < len(references):
        raise ValueError(
            f"reference is {reference}; expected 0 to {len(references) - 1}, as the model "
            "has references."
        )


def feature_names_of(rows):
    """Names of the features of sets; their numbers if they have none."""
    if rows.feature_names is None:
        return [f"feature {i}" for i in range(rows.n_features)]
    return rows.feature_names.tolist()


def place_elements(rows, kind, columns, names, are_named, otherwise):
    """Choose the kind of picture, and the coordinates of elements in it.

    Parameters
    ----------
    rows : SetCollection
        The input sets.
    kind : str
        "auto", `otherwise`, "points", and "grid" where that is a kind.
    columns : pair of int or str, or None
        Features that are coordinates.
    names : list of str
        Those of the features.
    are_named : bool
        Whether elements have names.
    otherwise : str
        The kind without coordinates.

    Returns
    -------
    kind : str
    coordinates : ndarray of shape (n_elements, 2) or None
        Horizontal and vertical.
    coordinate_names : list of str or None
    """
    kinds = ("auto", otherwise, "points", "grid")
    if kind not in kinds:
        raise ValueError(f"kind is {kind!r}; expected one of {list(kinds)}.")
    if kind == "auto":
        kind = otherwise
        if columns is not None:
            kind = "points"
        elif not are_named and _on_grid(rows.positions):
            kind = "grid"
        elif not are_named and rows.n_features == 2:
            kind = "points"
    if kind == "grid":
        if rows.positions is None or rows.positions.shape[1] != 2:
            raise ValueError(
                "kind is 'grid', and elements have no positions on 2 axes; expected 4-D "
                "input, or a SetCollection with such positions."
            )
        return kind, rows.positions[:, ::-1], ["column", "row"]
    if kind == "points":
        columns = check_columns(columns, names)
        return kind, rows.values[:][:, columns], [names[i] for i in columns]
    return kind, None, None


def check_columns(columns, names):
    """Return the indices of the two features that are coordinates."""
    columns = [0, 1] if columns is None else columns
    columns = [columns] if np.isscalar(columns) else list(columns)
    indices = [names.index(c) if c in names else c for c in columns]
    known = [isinstance(i, (int, np.integer)) and 0 <= i < len(names) for i in indices]
    if len(columns) != 2 or not all(known):
        raise ValueError(
            f"columns is {columns}; expected two of the {len(names)} features, by number "
            f"from 0 or by name: {names}."
        )
    return indices


def _on_grid(positions):
    """Whether elements fill a grid of more than one row and column."""
    if positions is None or positions.shape[1] != 2:
        return False
    sides = [len(np.unique(axis)) for axis in positions.T]
    n_places = len(np.unique(positions, axis=0))
    return min(sides) > 1 and n_places == len(positions) == sides[0] * sides[1]


def grid_image(coordinates, values):
    """Values of elements as an image, the lowest vertical coordinate first.

    Parameters
    ----------
    coordinates : ndarray of shape (n_elements, 2)
    values : ndarray of shape (n_elements,) or (n_elements, n_channels)

    Returns
    -------
    ndarray of shape (n_rows, n_columns) or (n_rows, n_columns, n_channels)
        NaN where there is no element.
    """
    horizontal, column = np.unique(coordinates[:, 0], return_inverse=True)
    vertical, row = np.unique(coordinates[:, 1], return_inverse=True)
    image = np.full((len(vertical), len(horizontal), *values.shape[1:]), np.nan)
    image[row, column] = values
    return image


def point_area(n_points):
    """Area of each of this many points, in square points."""
    return float(np.clip(9000 / n_points, 4, 90))


def number_ticks(axis):
    """Number as many ticks of an axis as there is room for."""
    from matplotlib.ticker import MaxNLocator

    most = _MAX_NUMBERS[axis.axis_name]
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def name_ticks(axis, names):
    """Name as many ticks of a horizontal axis, at 0, 1, .., as there is room for."""
    letters = all(len(name) == 1 for name in names)
    if letters and len(names) > _MAX_LETTERS:
        _number_letters(axis, names)
        return
    step = 1 if letters else -(-len(names) // _MAX_NAMES)
    axis.set_ticks(range(0, len(names), step), names[::step], parse_math=False)
    if letters and len(names) > 0.75 * _MAX_LETTERS:
        axis.set_tick_params(labelsize="xx-small")
    elif letters and len(names) > 0.25 * _MAX_LETTERS:
        axis.set_tick_params(labelsize="small")
    if sum(map(len, names)) > _MAX_CHARACTERS and not letters:
        axis.set_tick_params(labelsize="small", labelrotation=90)


def _number_letters(axis, letters):
    """Number some ticks from 1, such as K120: some letters alone read as a sequence."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(_MAX_NUMBERS["x"], integer=True, steps=[1, 2, 5, 10])
    numbers = locator.tick_values(1, len(letters)).astype(int)
    numbers = numbers[(numbers >= 1) & (numbers <= len(letters))]
    names = [f"{letters[number - 1]}{number}" for number in numbers]
    axis.set_ticks(numbers - 1, names, parse_math=False)


def order_by_similarity(supports):
    """Rank of each support along the first principal component of the supports.

    Parameters
    ----------
    supports : ndarray of shape (n_supports, n_components)

    Returns
    -------
    ndarray of int of shape (n_supports,)
    """
    centered = supports - supports.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    along = centered @ axes[0]
    # The sign of singular vectors is arbitrary.
    along *= np.sign(along[np.abs(along).argmax()]) or 1.0
    return along.argsort(kind="stable").argsort()


class SupportColors:
    """Colours of supports: one each for few, a scale on which similar ones meet for many.

    Parameters
    ----------
    order : ndarray of int of shape (n_supports,)
        Place of each support on the scale.

    Attributes
    ----------
    rgba : ndarray of shape (n_supports, 4)
    """

    def __init__(self, order):
        from matplotlib import colormaps, colors

        self._order, self._cmap = order, colormaps[SEQUENTIAL]
        self._norm = colors.Normalize(-0.5, len(order) - 0.5)
        if len(order) <= len(_COLORS):
            self.rgba = colors.to_rgba_array(_COLORS[: len(order)])
        else:
            self.rgba = self._cmap(self._norm(order))

    def add_key(self, ax):
        """Explain the colours by a legend, or by a colour bar for many, and return it."""
        from matplotlib import cm, lines

        n_supports = len(self._order)
        if n_supports <= len(_COLORS):
            handles = [
                lines.Line2D([], [], marker="o", ls="", color=color) for color in self.rgba
            ]
            return ax.legend(
                handles,
                range(n_supports),
                title="support",
                loc="upper left",
                bbox_to_anchor=(1.01, 1.0),
                frameon=False,
            )
        bar = ax.figure.colorbar(cm.ScalarMappable(self._norm, self._cmap), ax=ax)
        places = np.linspace(0, n_supports - 1, 8).round().astype(int)
        bar.set_ticks(places, labels=self._order.argsort()[places])
        bar.set_label("support (similar ones side by side)")
        return bar
