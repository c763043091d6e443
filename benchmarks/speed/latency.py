"""Time of one set through a fitted embedding and a fitted pipeline, as a server has it.

python benchmarks/speed/latency.py

Models as fitted, and as loaded by joblib and skops; a set as a list of one array, and as a
`SetCollection`. What scikit-learn's own steps take is measured on their own.
"""

import io

import joblib
import numpy as np
import skops.io
from _timing import once
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import ElementTransformer, OTKEmbedding, SetCollection

N_RUNS = 2000


def sets_and_labels(n_sets=100):
    """Sets of 20 elements of 12 numbers, in float32."""
    random = np.random.default_rng(0)
    X = [random.normal(size=(20, 12)).astype(np.float32) for _ in range(n_sets)]
    return X, np.arange(n_sets) % 2


def fitted_pipeline(X, y):
    """Return a pipeline that scales elements, embeds sets, and classifies."""
    return make_pipeline(
        ElementTransformer(StandardScaler()),
        OTKEmbedding(5, random_state=0),
        StandardScaler(),
        LogisticRegression(),
    ).fit(X, y)


def loaded_by_joblib(model):
    """Return a copy of the model, stored and loaded by joblib."""
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def loaded_by_skops(model):
    """Return a copy of the model, stored and loaded by skops."""
    stored = skops.io.dumps(model)
    return skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))


def milliseconds(function, argument):
    """Median and 95th percentile of the time of a call."""
    for _ in range(20):
        function(argument)
    times = [1e3 * once(function, argument)[0] for _ in range(N_RUNS)]
    return np.percentile(times, [50, 95])


def main():
    """Print a line for each model and form of the set."""
    X, y = sets_and_labels()
    pipeline = fitted_pipeline(X, y)
    forms = {"a list": X[:1], "a collection": SetCollection.from_sets(X[:1])}
    models = {
        "as fitted": pipeline,
        "of joblib": loaded_by_joblib(pipeline),
        "of skops": loaded_by_skops(pipeline),
    }
    for origin, model in models.items():
        for form, one in forms.items():
            scaled = model[0].transform(one)
            calls = {
                "embedding": (model[1].transform, one),
                "embedding of scaled elements": (model[1].transform, scaled),
                "pipeline": (model.predict, one),
            }
            for name, call in calls.items():
                median, late = milliseconds(*call)
                print(f"{name}, {origin}, {form}: {median:.2f} ms (95 %: {late:.2f})")
    embedded = pipeline[:2].transform(X[:1])
    steps = {
        "StandardScaler, of elements": (pipeline[0].transformer_.transform, X[0]),
        "StandardScaler, of embeddings": (pipeline[2].transform, embedded),
        "LogisticRegression": (pipeline[3].predict, embedded),
    }
    for name, call in steps.items():
        print(f"{name} alone: {milliseconds(*call)[0]:.2f} ms")


if __name__ == "__main__":
    main()
