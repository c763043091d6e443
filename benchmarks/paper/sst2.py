"""The paper's third experiment: sentiments of sentences, SST-2.

Sets are the token vectors of a frozen encoder, made and kept in the cache by
`accuracy/_token_vectors.py`, which says what the folder of the data has to contain: all
67,349 phrases of GLUE's SST-2 for training and its development set for test, or whole
sentences. Settings are those of the paper: the homogeneous kernel with sigma = 0.4, 2,048
anchors, 3 supports, epsilon = 0.5; with labels 64 anchors and epsilon = 3, references,
anchors and bandwidth trained in turns with the linear model. The options, named as
parameters of `OTKEmbedding`, change those of "transport" and "softmax"; "KernelMean" and
"FisherVector" are of elements as they are. The paper's encoder was BERT, fine-tuned or not:
its figures can't be compared.

Every embedding is followed by the logistic regression of `accuracy/token_vectors.py`, whose
C is chosen on whole sentences of the training set. Seeds are of the embedding. Times are of
the processor, on one thread, for both parts. `--n-layers 3` takes the states after the last
three layers, side by side.

    python benchmarks/paper/sst2.py --data-home FOLDER --cache FOLDER [--n-layers N]
        [--problems NAME ...] [--methods PATTERN ...] [--seeds N ...]
        [--n-supports N] [--n-components N] [--gamma X] [--epsilon X] ...
"""

import functools

import _other_benchmarks  # noqa: F401
import _token_vectors
import token_vectors
from _options import describe, given_parameters, parser_of_parameters
from _scaffold import print_tables, run
from threadpoolctl import threadpool_limits

from otk_sklearn import (
    FisherVectorEmbedding,
    KernelMeanEmbedding,
    OTKClassifier,
    OTKEmbedding,
    SetPooling,
    SlicedWassersteinEmbedding,
)

PROBLEMS = "67,349 phrases", "sentences"
KERNEL = {"kernel": "homogeneous", "gamma": 1 / (2 * 0.4**2)}
# K-means of 2,048 centres takes minutes, and is no better; more elements change nothing.
ANCHORS = {"n_components": 2048, "anchors": "random", "max_elements": 50_000}


def transport(**params):
    """Return the embedding with the settings of the paper, or others."""
    defaults = {"n_supports": 3, "epsilon": 0.5, **KERNEL, **ANCHORS}
    return OTKEmbedding(**{**defaults, **params})


def with_labels(**params):
    """Return an embedding that is trained with the labels."""
    trained = {"n_components": 64, "anchors": "kmeans", "epsilon": 3.0}
    return OTKClassifier(transport(**trained, **params), max_epochs=20, refit_head=True)


def methods_of(settings):
    """Return methods by name; "softmax" and "transport" have these settings."""
    changes = describe(settings)
    return {
        "mean": SetPooling("mean"),
        "mean, max": SetPooling(["mean", "max"]),
        "SlicedWasserstein, 256 x 8": SlicedWassersteinEmbedding(256, n_quantiles=8),
        "FisherVector, 4": FisherVectorEmbedding(4),
        "KernelMean": KernelMeanEmbedding(**KERNEL, **ANCHORS),
        "softmax" + changes: transport(solver="softmax", **settings),
        "transport" + changes: transport(**settings),
        "transport, 64 anchors": transport(n_components=64, anchors="kmeans"),
        "transport, labels": with_labels(),
        "transport, gamma='median', labels": with_labels(gamma="median"),
    }


def evaluate(methods, n_layers, problem, method, seed, data_home, cache):
    """Fit, test, and take times."""
    embedding = methods[method]
    return token_vectors.score(problem, embedding, seed, n_layers, data_home, cache)


def main():
    """Compute what is missing; print a table for each problem."""
    own = parser_of_parameters()
    layers = range(1, _token_vectors.N_LAYERS + 1)
    own.add_argument("--n-layers", type=int, default=1, choices=layers)
    n_layers = own.parse_known_args()[0].n_layers
    methods = methods_of(given_parameters(own))
    if n_layers > 1:
        methods = {f"{name}, {n_layers} layers": one for name, one in methods.items()}
    with threadpool_limits(1):
        results = run(
            "sst2",
            f"{__doc__}\n{_token_vectors.__doc__}",
            dict.fromkeys(PROBLEMS, methods),
            functools.partial(evaluate, methods, n_layers),
            seeds=range(3),
            folders=["data_home", "cache"],
            parents=[own],
        )
    print_tables(results, token_vectors.COLUMNS)


if __name__ == "__main__":
    main()
