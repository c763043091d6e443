"""Shared by displays of one set: layout, names and images of its elements."""

from otk_sklearn.display._drawing import (
    Display,
    check_index,
    feature_names_of,
    grid_image,
    name_ticks,
    number_ticks,
    place_elements,
)
from otk_sklearn.display._names import check_names
from otk_sklearn.sets._validation import as_sets

# Least and largest width and height of figures that grow with what is in them.
SIZES = (4.8, 3.2), (14.0, 8.0)


def element_layout(X, index, kind, columns, element_names, otherwise):
    """Return the set to draw, in a collection of its own, and how to draw its elements.

    Returns
    -------
    X : sets
        The only set.
    layout : dict
        Parameters that are common to displays of one set.
    """
    index = check_index(X, index)
    all_sets, X = X, X[index : index + 1]
    rows = as_sets(X, explain_rows=False)
    if not len(rows.values):
        raise ValueError(f"set {index} of X is empty; expected one with elements to draw.")
    element_names = check_names(element_names, all_sets, index, len(rows.values))
    names = feature_names_of(rows)
    kind, coordinates, names = place_elements(
        rows, kind, columns, names, element_names is not None, otherwise
    )
    return X, {
        "kind": kind,
        "coordinates": coordinates,
        "coordinate_names": names,
        "element_names": element_names,
        "set_name": None if rows.names is None else str(rows.names[0]),
    }


class ElementsDisplay(Display):
    """Base class of displays of the elements of one set.

    Subclasses have the attributes `kind`, `coordinates`, `coordinate_names`,
    `element_names` and `set_name`.
    """

    def _draw_grid(self, values, **scale):
        image = grid_image(self.coordinates, values)
        self._label_axes()
        return self.ax_.imshow(image, interpolation="nearest", **scale)

    def _draw_points(self, **style):
        self._label_axes()
        return self.ax_.scatter(*self.coordinates.T, **style)

    def _label_axes(self):
        horizontal, vertical = self.coordinate_names or ("", "")
        self.ax_.set(xlabel=horizontal, ylabel=vertical)

    def _label_element_axis(self):
        self.ax_.set_xlabel("element")
        if self.element_names is None:
            number_ticks(self.ax_.xaxis)
        else:
            name_ticks(self.ax_.xaxis, self.element_names)
