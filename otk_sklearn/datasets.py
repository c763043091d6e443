"""Real data as sets, from packages that ship it: nothing is downloaded."""

import numpy as np
from sklearn.datasets import load_digits

from otk_sklearn._sets import SetCollection

__all__ = ["load_digit_points", "load_japanese_vowels"]


def load_digit_points():
    """Scikit-learn's handwritten digits as sets of lit pixels.

    Each of the 1,797 images of 8 x 8 pixels becomes a set of 16 to 42 points: row, column
    and intensity (1 to 16) of the pixels that are not 0. That the points form a grid is
    lost, as it is in a cloud of measured points.

    Returns
    -------
    X : SetCollection
        1,797 sets of elements with 3 features.
    y : ndarray of int of shape (1797,)
        The digits.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_digit_points
    >>> X, y = load_digit_points()
    >>> X
    SetCollection(n_sets=1797, n_elements=58736, n_features=3, lengths 16 to 42, float64)
    """
    digits = load_digits()
    image, row, column = np.nonzero(digits.images)
    points = np.column_stack([row, column, digits.images[image, row, column]])
    return SetCollection.from_groups(points, image), digits.target


def load_japanese_vowels(split):
    """Utterances of two Japanese vowels by nine speakers, as sets of frames.

    Needs sktime, which ships the data; `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    split : {"train", "test"}
        The data's own split: 270 utterances for training, 370 for test.

    Returns
    -------
    X : SetCollection
        Sets of 7 to 29 frames with 12 cepstral coefficients.
    y : ndarray of str of shape (n_sets,)
        The speaker, "1" to "9".

    Raises
    ------
    ImportError
        If sktime is not installed.

    References
    ----------
    M. Kudo, J. Toyama and M. Shimbo, "Multidimensional Curve Classification Using
    Passing-Through Regions", Pattern Recognition Letters 20, 1999.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_japanese_vowels
    >>> X, y = load_japanese_vowels("train")
    >>> X
    SetCollection(n_sets=270, n_elements=4274, n_features=12, lengths 7 to 26, float64)
    """
    try:
        from sktime.datasets import load_japanese_vowels as load
    except ImportError as error:
        raise ImportError(
            'load_japanese_vowels needs sktime: pip install "otk-sklearn[datasets]"'
        ) from error
    frames, y = load(split=split, return_type="pd-multiindex")
    X = SetCollection.from_groups(frames.to_numpy(), frames.index.get_level_values(0))
    return X, np.asarray(y)
