"""`compile_kernels`: all compiled functions into numba's cache, ahead of their use."""

from __future__ import annotations

import itertools
import time

import numpy as np

from otk_sklearn._compiled import features, implicit_gradient, pooling, sinkhorn
from otk_sklearn._compiled.numba_compat import cpu_target
from otk_sklearn.embeddings._convolution import ConvolutionalKernelLayer
from otk_sklearn.embeddings._fisher_vector import FisherVectorEmbedding
from otk_sklearn.embeddings._otk import OTKEmbedding
from otk_sklearn.embeddings._sliced_wasserstein import SlicedWassersteinEmbedding
from otk_sklearn.sets._collection import SetCollection
from otk_sklearn.supervised._classifier import OTKClassifier


def compile_kernels() -> None:
    """Compile all functions of this package into numba's cache, and print where it is.

    Otherwise they are compiled when first called, which takes a minute. Call it where a
    container image is built, with the installed packages of the image:
    `python -c "from otk_sklearn.batches import compile_kernels; compile_kernels()"`.
    Processes that find the cache compile nothing.

    It is found by processes of the same versions of packages in the same folder, on
    processors of the same name and features, which are printed. On others, functions are
    compiled anew. The environment variables `NUMBA_CPU_NAME=generic` and
    `NUMBA_CPU_FEATURES=""`, set here and there, make one that all processors of an
    architecture share; its functions are slower.

    Raises
    ------
    RuntimeError
        If numba finds no folder that it can write to.

    See Also
    --------
    BatchTransformer : What workers call, each of which would compile.

    Examples
    --------
    >>> from otk_sklearn.batches import compile_kernels
    >>> compile_kernels()  # doctest: +SKIP
    Compiled 36 functions in 93.3 s, for float32 and float64.
    Cache: /usr/lib/python3/site-packages/otk_sklearn/_compiled/__pycache__
    Valid for the processor znver3 (x86_64-unknown-linux-gnu) with the features
    +64bit,+adx,+aes,...
    """
    start = time.perf_counter()
    if not _folders():
        raise RuntimeError(
            "numba finds no folder that it can write compiled functions to; expected one, "
            "such as NUMBA_CACHE_DIR=/var/cache/numba in the environment."
        )
    n_before = _n_compiled()
    for dtype in (np.float32, np.float64):
        _call_all(dtype)
    seconds = time.perf_counter() - start
    triple, processor, its_features = cpu_target.target_context.codegen().magic_tuple()
    n_compiled = _n_compiled() - n_before
    print(f"Compiled {n_compiled} functions in {seconds:.1f} s, for float32 and float64.")
    print(f"Cache: {', '.join(sorted(_folders()))}")
    print(f"Valid for the processor {processor} ({triple}) with the features")
    print(its_features)


def _call_all(dtype):
    """Call every compiled function with arrays of this dtype."""
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(n, 2)).astype(dtype) for n in (20, 30, 40, 50)]
    weights = [random.uniform(1, 2, size=len(x)) for x in arrays]
    y = [0, 1, 0, 1]
    for sets in (SetCollection.from_sets(arrays, weights=w) for w in (None, weights)):
        for model in _embeddings():
            model.fit(sets).transform(sets)
        for embedding in _trained_embeddings():
            OTKClassifier(embedding, alpha=1.0, max_epochs=1, random_state=0).fit(sets, y)


_SMALL = {"n_components": 4, "tol": 1.0, "random_state": 0}
_PENALTIES = [{}, {"relaxation": 1.0}, {"support_relaxation": 1.0}]


def _embeddings():
    for penalty, kernel in itertools.product(_PENALTIES, ("rbf", "homogeneous", "linear")):
        yield OTKEmbedding(2, kernel=kernel, **penalty, **_SMALL)
    yield OTKEmbedding(2, references="barycenter", **_SMALL)
    yield OTKEmbedding(2, n_references=2, solver="softmax", **_SMALL)
    yield OTKEmbedding(2, filter_size=3, position="gaussian", **_SMALL)
    yield ConvolutionalKernelLayer(4, filter_size=3, subsampling=2, random_state=0)
    yield FisherVectorEmbedding(2, random_state=0)
    yield SlicedWassersteinEmbedding(2, n_quantiles=3, random_state=0)


def _trained_embeddings():
    others = [{"solver": "softmax"}, {"filter_size": 3}, {"kernel": "linear"}]
    for parameters in [*_PENALTIES, *others]:
        yield OTKEmbedding(2, **parameters, **_SMALL)


def _functions():
    """All compiled functions that are cached."""
    for module in (features, implicit_gradient, pooling, sinkhorn):
        for value in vars(module).values():
            if hasattr(value, "stats") and value.stats.cache_path is not None:
                yield value


def _folders():
    return {function.stats.cache_path for function in _functions()}


def _n_compiled():
    return sum(sum(function.stats.cache_misses.values()) for function in _functions())
