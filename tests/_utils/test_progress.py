"""Progress: scikit-learn's callbacks see nested tasks, and `verbose` tells of them."""

import pickle
import re
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from otk_sklearn import (
    ConvolutionalKernelLayer,
    ElementTransformer,
    OTKClassifier,
    OTKEmbedding,
)
from otk_sklearn._utils import progress
from otk_sklearn._utils.chunks import map_chunks

KMEANS = {"n_references": 3}
BARYCENTER = {"references": "barycenter", "epsilon": 0.5, "tol": 1e-6}


def make_data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, size=60)
    return [rng.normal(c, 1.0, size=(rng.integers(3, 20), 3)) for c in y], y


def make(**params):
    return OTKEmbedding(4, n_components=8, random_state=0).set_params(**params)


@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback")


class Recorder:
    """A callback that writes down when tasks begin and end, of each fit by itself."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.fits, self.stop_after, self.n_iter = {}, stop_after, 0

    @property
    def events(self):
        (events,) = self.fits.values()
        return events

    def setup(self, estimator, context):
        self.fits[context.root_uuid] = ["setup"]

    def teardown(self, estimator, context):
        self.fits[context.root_uuid].append("teardown")

    def on_fit_task_begin(self, estimator, context):
        of_parent = "" if context.parent is None else f" of {context.parent.task_name}"
        tasks = f" ({context.max_subtasks})" if context.max_subtasks != 0 else ""
        event = f"begin {context.task_name}{of_parent}{tasks}"
        self.fits[context.root_uuid].append(event)

    def on_fit_task_end(self, estimator, context):
        self.fits[context.root_uuid].append(f"end {context.task_name}")
        self.n_iter += context.task_name == "iteration"
        return context.task_name == "iteration" and self.n_iter == self.stop_after


def expected_events(n_iter=0, max_iter=0, transforms=False):
    iteration = ["begin iteration of references", "end iteration"]
    of_iterations = f" ({max_iter})" if max_iter != 0 else ""
    transform = ["begin transform of fit", "end transform"]
    return [
        "setup",
        f"begin fit ({2 + transforms})",
        *["begin anchors of fit", "end anchors"],
        f"begin references of fit{of_iterations}",
        *iteration * n_iter,
        "end references",
        *transform * transforms,
        "end fit",
        "teardown",
    ]


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
@pytest.mark.parametrize(
    ("params", "max_iter"),
    [
        ({}, 0),
        ({"kernel": "linear", "references": "random"}, 0),
        ({"references": np.eye(8)[np.newaxis]}, 0),
        (KMEANS, None),
        (BARYCENTER, 50),
    ],
    ids=str,
)
def test_stages_and_iterations_are_nested_tasks(callbacks, params, max_iter, method):
    X, _ = make_data()
    recorder = Recorder()
    model = make(**params).set_callbacks(recorder)
    getattr(model, method)(X)
    n_iter = len(model.objective_history_)
    assert (n_iter > 1) == (max_iter != 0)
    assert recorder.events == expected_events(n_iter, max_iter, method == "fit_transform")
    assert_array_equal(model.references_, make(**params).fit(X).references_)


@pytest.mark.parametrize(
    "estimator",
    [ConvolutionalKernelLayer(8, random_state=0), ElementTransformer(StandardScaler())],
)
def test_transformers_of_sets_are_one_task(callbacks, estimator):
    X, _ = make_data()
    recorder = Recorder()
    estimator.set_callbacks(recorder).fit(X)
    assert recorder.events == ["setup", "begin fit", "end fit", "teardown"]


def test_labels_come_after_what_is_learned_without(callbacks):
    X, y = make_data()
    recorder = Recorder()
    embedding = OTKEmbedding(4, n_components=8, references="barycenter")
    model = OTKClassifier(embedding, max_epochs=2, warm_start=True, random_state=0)
    model.set_callbacks(recorder).fit(X, y)
    embedding = make(references="barycenter").fit(X)
    unsupervised = expected_events(embedding.n_iter_, 50)[2:-2]
    epochs = ["begin epochs of fit (2)", *["begin epoch of epochs", "end epoch"] * 2]
    after = [*epochs, "end epochs", "end fit", "teardown"]
    assert recorder.events == ["setup", "begin fit (3)", *unsupervised, *after]
    recorder.fits.clear()
    model.fit(X, y)  # goes on from there
    assert recorder.events == ["setup", "begin fit (1)", *after]


@pytest.mark.parametrize("params", [KMEANS, BARYCENTER], ids=str)
def test_a_callback_may_stop_the_learning_of_references(callbacks, params, tmp_path):
    """And what it has come to is not taken for the end, by the cache."""
    X, _ = make_data()
    whole = make(**params).fit(X)
    params = {**params, "memory": str(tmp_path)}
    stopped = make(**params).set_callbacks(Recorder(stop_after=2)).fit(X)
    assert_array_equal(stopped.objective_history_, whole.objective_history_[:2])
    assert whole.n_iter_ > stopped.n_iter_ == 2
    assert_array_equal(make(**params).fit(X).references_, whole.references_)


def test_barycentres_do_not_go_on_where_kmeans_was_stopped(callbacks):
    X, _ = make_data()
    recorder = Recorder(stop_after=2)
    model = make(n_references=2, **BARYCENTER).set_callbacks(recorder).fit(X)
    assert recorder.events == expected_events(2, None)
    assert model.n_iter_ == 2


def test_the_best_state_is_kept_when_a_callback_stops(callbacks):
    X, _ = make_data()
    history = make(**KMEANS).fit(X).objective_history_
    worse = int(np.flatnonzero(np.diff(history) < 0)[0]) + 2
    best = int(np.argmax(history[:worse])) + 1
    models = [
        make(**KMEANS).set_callbacks(Recorder(stop_after=n_iter)).fit(X)
        for n_iter in (best, worse)
    ]
    assert_array_equal(models[0].references_, models[1].references_)
    assert len(models[1].objective_history_) == worse > best


def test_caches_know_nothing_of_progress(callbacks, tmp_path):
    X, _ = make_data()
    params = {**KMEANS, "memory": str(tmp_path)}
    first = make(**params).fit(X)
    recorder = Recorder()
    model = make(**params).set_callbacks(recorder).fit(X)
    assert recorder.events == expected_events(0, None)
    assert_array_equal(model.references_, first.references_)
    assert_array_equal(model.objective_history_, first.objective_history_)


@pytest.mark.parametrize("params", [{}, BARYCENTER], ids=str)
def test_a_fit_leaves_nothing_of_callbacks_behind(callbacks, params):
    X, y = make_data()
    classifier = OTKClassifier(OTKEmbedding(4), max_epochs=1)
    for model, args in [(make(**params), [X]), (classifier, [X, y])]:
        names = set(vars(model.fit(*args)))
        model.set_callbacks(Recorder()).fit(*args)
        assert set(vars(model)) == names | {"_skl_callbacks"}
        model.set_callbacks()
        assert b"Recorder" not in pickle.dumps(model)
        assert b"callback" not in pickle.dumps(model)


@pytest.mark.parametrize("model", [make(), ConvolutionalKernelLayer(), OTKClassifier()])
def test_fits_that_nobody_watches_have_no_context(callbacks, model, monkeypatch):
    """It would be kept in the estimator, and threads would take it from each other."""
    monkeypatch.delattr(callbacks.CallbackSupportMixin, "_init_callback_context")
    X, y = make_data()
    with pytest.raises(AttributeError, match="_init_callback_context"):
        model.set_callbacks(Recorder()).fit(X, y)
    model.set_callbacks().fit(X, y)


def test_fits_in_several_threads_have_trees_of_their_own(callbacks):
    X, _ = make_data()
    recorder = Recorder()
    models = [make(**KMEANS).set_callbacks(recorder) for _ in range(3)]
    threads = [threading.Thread(target=model.fit, args=[X]) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.fits) == 3
    for events in recorder.fits.values():
        assert events == expected_events(len(models[0].objective_history_), None)


def test_callbacks_are_torn_down_when_a_fit_fails(callbacks):
    X, _ = make_data()
    recorder = Recorder()
    model = make(n_references=100).set_callbacks(recorder)
    before = set(vars(model))
    with pytest.raises(ValueError, match="expected at least as many as references"):
        model.fit(X)
    assert recorder.events[-1] == "teardown"
    assert set(vars(model)) == before


class Written:
    """A callback that writes to a file, from whichever process."""

    max_propagation_depth = None

    def __init__(self, path):
        self.path = path

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.write(f"begin {context.estimator_name} {context.task_name}\n")

    def on_fit_task_end(self, estimator, context):
        self.write(f"end {context.estimator_name} {context.task_name}\n")

    def write(self, line):
        with open(self.path, "a") as file:
            file.write(line)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bars_and_tasks_of_a_grid_search(callbacks, n_jobs, tmp_path, capfd):
    """With steps that all report: a warning would be an error."""
    X, y = make_data()
    steps = [
        ElementTransformer(StandardScaler()),
        ConvolutionalKernelLayer(8, filter_size=2, random_state=0),
        make(kernel="linear", **BARYCENTER),
        StandardScaler(),
        LogisticRegression(),
    ]
    grid = {"otkembedding__n_supports": [2, 3]}
    search = GridSearchCV(make_pipeline(*steps), grid, cv=2, n_jobs=n_jobs)
    written = Written(tmp_path / "tasks")
    bar = callbacks.ProgressBar(max_propagation_depth=None)
    search.set_callbacks(bar, written).fit(X, y)
    n_fits, lines = 5, written.path.read_text().splitlines()
    for estimator in ["ElementTransformer", "ConvolutionalKernelLayer", "OTKEmbedding"]:
        assert lines.count(f"begin {estimator} fit") == n_fits
    for task in ["anchors", "references", "transform"]:
        assert lines.count(f"begin OTKEmbedding {task}") == n_fits
    assert lines.count("begin OTKEmbedding iteration") > n_fits
    begun = sorted(line.removeprefix("begin ") for line in lines if line[0] == "b")
    ended = sorted(line.removeprefix("end ") for line in lines if line[0] == "e")
    assert begun == ended
    shown = capfd.readouterr().out
    assert shown.count("fit-transform-otkembedding") == n_fits
    assert shown.count("OTKEmbedding - references") == n_fits


@pytest.mark.parametrize(
    ("estimator", "stage"),
    [
        (make(**KMEANS), "OTKEmbedding - references #1"),
        (OTKClassifier(OTKEmbedding(4), max_epochs=2), "OTKClassifier - epochs #2"),
        (make_pipeline(make(**BARYCENTER), LogisticRegression()), "| OTKEmbedding - fit"),
    ],
)
def test_progress_bar_alone_and_in_a_pipeline(callbacks, estimator, stage, capfd):
    X, y = make_data()
    estimator.set_callbacks(callbacks.ProgressBar()).fit(X, y)
    first, *others = capfd.readouterr().out.splitlines()
    assert first.startswith(f"{type(estimator).__name__} - fit")
    assert any(stage in line for line in others)


# --- verbose ---

STAGE = r"\[OTKEmbedding\] \.+ {}, total= +[0-9.]+s"


@pytest.mark.parametrize("params", [{}, KMEANS, BARYCENTER], ids=str)
def test_verbose_tells_stages_and_iterations(params, capsys):
    X, _ = make_data()
    model = make(verbose=1, **params)
    model.fit_transform(X)
    anchors, *iterations, references, transform = capsys.readouterr().out.splitlines()
    named = [(anchors, "anchors"), (references, "references"), (transform, "transform")]
    for line, name in named:
        assert re.fullmatch(STAGE.format(name), line)
    assert iterations == [
        f"Iteration {i}, objective = {objective:.6f}"
        for i, objective in enumerate(model.objective_history_, 1)
        if model.n_references == 1 or "references" not in params
    ]
    model.set_params(verbose=0).fit_transform(X)
    assert capsys.readouterr().out == ""


def test_verbose_embedding_tells_its_stages_in_a_classifier(capsys):
    X, y = make_data()
    embedding = OTKEmbedding(4, verbose=True)
    OTKClassifier(embedding, max_epochs=1, alpha=1.0, random_state=0).fit(X, y)
    anchors, references = capsys.readouterr().out.splitlines()
    assert "anchors" in anchors
    assert "references" in references


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "model",
    [make(), OTKClassifier(OTKEmbedding(4), max_epochs=1, alpha=1.0, random_state=0)],
)
def test_verbose_tells_how_far_transform_is(model, n_jobs, monkeypatch, capsys):
    X, y = make_data()
    monkeypatch.setattr(progress, "_PRINT_INTERVAL", 0.0)
    model = clone(model).set_params(n_jobs=n_jobs).fit(X, y)
    quiet = model.transform(X * 200)
    assert capsys.readouterr().out == ""
    model.set_params(verbose=True).fit(X, y)
    capsys.readouterr()
    assert_array_equal(model.transform(X * 200), quiet)
    lines = capsys.readouterr().out.splitlines()
    line = r"\[OTKEmbedding\] (\d+) % of 12,000 sets, [0-9.]+s"
    parts = [int(re.fullmatch(line, printed)[1]) for printed in lines]
    assert len(parts) > 10
    assert parts == sorted(parts)
    assert parts[-1] == 100


def test_percentages_are_seconds_apart(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    percentage = progress.Percentage("OTKEmbedding", 3000)
    for _ in range(4):
        percentage(700)
    assert capsys.readouterr().out.splitlines() == [
        "[OTKEmbedding] 46 % of 3,000 sets, 6.0s",
        "[OTKEmbedding] 93 % of 3,000 sets, 12.0s",
    ]


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_each_set_of_each_chunk_is_reported_once(n_jobs):
    done, lengths = [], np.arange(1, 400)
    map_chunks(
        lambda chunk: None,
        lengths,
        rows_per_set=3,
        max_rows=1000,
        n_jobs=n_jobs,
        report=done.append,
    )
    assert len(done) > 50
    assert sum(done) == len(lengths)
