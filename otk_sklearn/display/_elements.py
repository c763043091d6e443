"""Shared by displays of one set: layout, names and images of its elements."""

from otk_sklearn.display._drawing import (
    check_names,
    feature_names_of,
    grid_image,
    name_ticks,
    number_ticks,
    place_elements,
)
from otk_sklearn.sets._validation import as_sets


def element_layout(steps, X, kind, columns, element_names, otherwise):
    """Return kind, coordinates and their names, and those of the elements."""
    rows = as_sets(X, explain_rows=False)
    element_names = check_names(element_names, len(rows.values))
    names = feature_names_of(steps, rows.n_features)
    kind, coordinates, names = place_elements(
        rows, kind, columns, names, element_names is not None, otherwise
    )
    layout = {"kind": kind, "coordinates": coordinates, "coordinate_names": names}
    return layout, element_names


def label_element_axis(display):
    display.ax_.set_xlabel("element")
    if display.element_names is None:
        number_ticks(display.ax_.xaxis)
    else:
        name_ticks(display.ax_.xaxis, display.element_names)


def draw_grid(display, values, **scale):
    image = grid_image(display.coordinates, values)
    label_axes(display)
    return display.ax_.imshow(image, interpolation="nearest", **scale)


def label_axes(display):
    horizontal, vertical = display.coordinate_names or ("", "")
    display.ax_.set(xlabel=horizontal, ylabel=vertical)
