"""Progress of fits: what `verbose` prints, and scikit-learn's callbacks."""

import contextlib
import threading
import time

from otk_sklearn._utils.sklearn_compat import print_elapsed_time

# Seconds between two lines of the progress of a long computation.
_PRINT_INTERVAL = 5.0


class Progress:
    """Reports a fit and its tasks to callbacks, and prints them with `verbose`.

    Callbacks are not called before `begin_fit`.

    Parameters
    ----------
    estimator : estimator

    Attributes
    ----------
    verbose : bool
    stops : bool
        Whether a callback has asked to stop the iterations of a stage.
    """

    def __init__(self, estimator):
        self._estimator, self.verbose = estimator, getattr(estimator, "verbose", False)
        self._data, self._tasks, self._n_iter, self.stops = {}, [], 0, False

    def begin_fit(self, max_subtasks, X, y=None, sample_weight=None):
        """Begin the fit, which has at most `max_subtasks` tasks.

        Parameters
        ----------
        max_subtasks : int
        X, y, sample_weight
            As passed to `fit`.

        Returns
        -------
        self : object
        """
        estimator, metadata = self._estimator, {"sample_weight": sample_weight}
        # scikit-learn stores the context in the estimator, even without callbacks:
        # concurrent fits in several threads would overwrite each other's.
        if getattr(estimator, "_skl_callbacks", None):
            self._data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
            fit = estimator._init_callback_context(max_subtasks=max_subtasks)
            self._tasks.append(fit.call_on_fit_task_begin(**self._data))
        return self

    def end_fit(self, attributes):
        """End the fit that has learned these attributes."""
        self._end(lambda: attributes)

    @contextlib.contextmanager
    def stage(self, name, max_subtasks=0):
        """A task of the fit; with `verbose`, a line tells how long it took.

        Parameters
        ----------
        name : str
        max_subtasks : int or None, default=0
            Maximum number of iterations; None if it is unbounded.
        """
        name_of_estimator = type(self._estimator).__name__
        with print_elapsed_time(name_of_estimator, name if self.verbose else None):
            self._n_iter, self.stops = 0, False
            self._begin(name, max_subtasks)
            depth = len(self._tasks)
            yield
            if len(self._tasks) > depth:  # an iteration that was not ended
                self._tasks.pop().call_on_fit_task_end(estimator=self._estimator)
            self._end()

    def begin_iteration(self, name="iteration"):
        """Begin an iteration of a stage."""
        self._begin(name)

    def end_iteration(self, objective):
        """End an iteration that has reached this objective."""
        self._n_iter += 1
        if self.verbose:
            print(f"Iteration {self._n_iter}, objective = {objective:.6f}")
        self.stops = self._end() or self.stops

    def end_epoch(self, losses, scores, attributes_of):
        """End an epoch, and return whether a callback asks to stop.

        Parameters
        ----------
        losses, scores : list of float
            Of all epochs so far; scores are empty without a validation set.
        attributes_of : callable
            Returns the fitted attributes as if training had ended here.
        """
        self._n_iter += 1
        if self.verbose:
            score = f", validation score = {scores[-1]:.6f}" if scores else ""
            print(f"Epoch {self._n_iter}, loss = {losses[-1]:.6f}{score}")
        self.stops = self._end(attributes_of)
        return self.stops

    def _begin(self, name, max_subtasks=0):
        if self._tasks:
            task = self._tasks[-1].subcontext(task_name=name, max_subtasks=max_subtasks)
            self._tasks.append(task.call_on_fit_task_begin(**self._data))

    def _end(self, attributes_of=None):
        if not self._tasks:
            return False
        stop = self._tasks.pop().call_on_fit_task_end(
            **self._data, reconstruction_attributes=attributes_of
        )
        return bool(stop)


class Percentage:
    """Prints every few seconds the percentage of sets that have been processed.

    Parameters
    ----------
    name : str
        Name of the estimator or function.
    n_items : int or None
        Number of sets. None means that it is unknown: their count is printed.
    items : str, default="sets"
        What is counted.
    """

    def __init__(self, name, n_items, items="sets"):
        self._name, self._n_items, self._items, self._n_done = name, n_items, items, 0
        self._start = self._printed = time.perf_counter()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, estimator, sets):
        """Return an instance if the estimator is verbose, else None."""
        return cls(type(estimator).__name__, len(sets)) if estimator.verbose else None

    def __call__(self, n_done):
        """Add the number of sets that have been processed. Thread-safe."""
        with self._lock:
            self._n_done += n_done
            now = time.perf_counter()
            if now < self._printed + _PRINT_INTERVAL:
                return
            self._printed = now
            share = f"{self._n_done:,}"
            if self._n_items is not None:
                share = f"{100 * self._n_done // self._n_items} % of {self._n_items:,}"
            print(f"[{self._name}] {share} {self._items}, {now - self._start:.1f}s")
