"""60 patients, each a set of cells: how to pool them, and how many features they bear.

Generated cells, in place of principal components of genes: 20 numbers for each of 100 to
300 cells of a patient.

- A cell is of one of 8 types, whose centres are normal with deviations from 4 for the first
  component to 1 for the last one, and has deviations of 1 around its centre.
- Shares of types vary from patient to patient: a Dirichlet distribution about 0.3, 0.2,
  0.15, 0.12, 0.1, 0.06, 0.04 and 0.03, with a concentration of 15.
- Every other patient is ill. In the problem "state", their cells of the fourth type are
  shifted by 3, in one direction; in "share", this type is twice as frequent as in others.
- Cells of a site, of 10 patients each, are shifted together, by deviations of 0.3, and
  those of a patient once more.

Models are fitted to 60 patients of 6 sites, and tested on 300 of 30 other sites; each seed
draws everything anew.

    python benchmarks/accuracy/single_cells.py [--problems NAME ...] [--methods PATTERN ...]
        [--seeds N ...]
"""

import functools
import time

import numpy as np
from _scaffold import print_tables, run
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from otk_sklearn import KernelMeanEmbedding, OTKEmbedding, SetCollection, SetPooling

PROBLEMS = ["state", "share"]
SHARES = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.04, 0.03])
TYPE_OF_THE_ILL = 3
PATIENTS_OF_SITE = 10


def draw_patients(n_patients, centers, shift, share_of_the_ill, rng):
    """Return sets of cells, and whether they are of patients who are ill."""
    ill = np.arange(n_patients) % 2 == 1
    sites = np.arange(n_patients) // PATIENTS_OF_SITE
    of_site = 0.3 * rng.normal(size=(sites[-1] + 1, 20))
    patients = []
    for is_ill, site in zip(ill, sites):
        shares = SHARES.copy()
        shares[TYPE_OF_THE_ILL] *= share_of_the_ill if is_ill else 1
        shares = rng.dirichlet(15 * shares / shares.sum())
        types = rng.choice(8, rng.integers(100, 301), p=shares)
        cells = centers[types] + rng.normal(size=(len(types), 20))
        cells[types == TYPE_OF_THE_ILL] += is_ill * shift
        patients.append(cells + of_site[site] + 0.3 * rng.normal(size=20))
    return SetCollection.from_sets(patients), ill


@functools.cache
def load(problem, seed):
    """Patients to fit to, and patients to test."""
    rng = np.random.default_rng(seed)
    centers = np.linspace(4, 1, 20) * rng.normal(size=(8, 20))
    shift = rng.normal(size=20)
    shift *= (3 if problem == "state" else 0) / np.linalg.norm(shift)
    share = 2 if problem == "share" else 1
    train = draw_patients(60, centers, shift, share, rng)
    return train, draw_patients(300, centers, shift, share, rng)


def transport(n_supports=50, **parameters):
    """An embedding with the defaults but for these."""
    return OTKEmbedding(n_supports, random_state=0, **parameters)


def linear_model(*steps, C=1.0, scale=False):
    """A linear classifier of embeddings, perhaps after other steps."""
    scaler = StandardScaler(with_std=scale)
    return make_pipeline(*steps, scaler, LogisticRegression(C=C, max_iter=5000))


EMBEDDINGS = {
    "mean": SetPooling(),
    "mean and deviation": SetPooling(["mean", "std"]),
    "KernelMeanEmbedding()": KernelMeanEmbedding(random_state=0),
    "OTKEmbedding()": transport(),
    "20 supports": transport(20),
    "20 supports, linear kernel": transport(20, kernel="linear", epsilon=1.0),
    "support_relaxation=0.1": transport(support_relaxation=0.1),
    "relaxation=0.1": transport(relaxation=0.1),
    'solver="softmax"': transport(solver="softmax"),
    "20 supports, relaxation=0.1": transport(20, relaxation=0.1),
    '20 supports, solver="softmax"': transport(20, solver="softmax"),
    "20 supports, relaxation=0.1, and mean": make_union(
        transport(20, relaxation=0.1), SetPooling()
    ),
}
HEADS = {
    "C=0.01": linear_model(C=0.01),
    "C=1": linear_model(),
    "C=100": linear_model(C=100),
    "each feature scaled": linear_model(scale=True),
    "PCA(40)": linear_model(PCA(40, svd_solver="full")),
}
TRIED_WITH_ALL_HEADS = ["mean and deviation", "OTKEmbedding()", 'solver="softmax"']
METHODS = [
    f"{embedding}; {head}"
    for embedding in EMBEDDINGS
    for head in (HEADS if embedding in TRIED_WITH_ALL_HEADS else ["C=1", "C=100"])
]


@functools.cache
def embed(problem, embedding, seed):
    """Embeddings for training and for test, and the time that they took."""
    (X, _), (X_test, _) = load(problem, seed)
    start = time.process_time()
    model = EMBEDDINGS[embedding].fit(X)
    Z, Z_test = model.transform(X), model.transform(X_test)
    return Z, Z_test, time.process_time() - start


def evaluate(problem, method, seed):
    """Accuracy on patients of other sites, number of features, and time to embed."""
    (_, y), (_, y_test) = load(problem, seed)
    embedding, head = method.split("; ")
    Z, Z_test, seconds = embed(problem, embedding, seed)
    accuracy = HEADS[head].fit(Z, y).score(Z_test, y_test)
    return {"accuracy": accuracy, "features": Z.shape[1], "seconds": seconds}


def main():
    """Compute what is missing, and print a table for each problem."""
    results = run("single_cells", __doc__, dict.fromkeys(PROBLEMS, METHODS), evaluate)
    columns = {
        "features": lambda rows, _: f"{rows['features'].iloc[0]:,}",
        "time": lambda rows, _: f"{rows['seconds'].mean():.1f} s",
    }
    print_tables(results, columns)


if __name__ == "__main__":
    main()
