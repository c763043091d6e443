"""Progress of training: what `verbose` prints, and scikit-learn's callbacks."""

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # pragma: no cover - scikit-learn before 1.9

    class CallbackSupportMixin:
        """An estimator without callbacks."""


class Progress:
    """Reports the fit of an estimator, and each epoch as a task of it.

    Parameters
    ----------
    estimator : estimator
    max_epochs : int
    X, y, sample_weight
        As handed to `fit`.
    """

    def __init__(self, estimator, max_epochs, X, y, sample_weight):
        self._estimator, self._max_epochs, self._n_epochs = estimator, max_epochs, 0
        metadata = {"sample_weight": sample_weight}
        self._data = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._fit = self._epoch = None
        # scikit-learn would keep a context in the estimator, also for no callbacks at all:
        # fits in several threads would take it from each other.
        if getattr(estimator, "_skl_callbacks", None):
            self._fit = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit.call_on_fit_task_begin(**self._data)

    def begin_epoch(self):
        """Begin the first epoch; others begin where one ends."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._data)

    def end_epoch(self, losses, scores, attributes_of, is_last):
        """Print a line, if wanted, and return whether a callback asks to stop.

        Parameters
        ----------
        losses, scores : list of float
            Of all epochs so far; without scores where no sets are held out.
        attributes_of : callable
            Returns the fitted attributes as if training had ended here.
        is_last : bool
            Whether training ends here, whatever callbacks say.
        """
        self._n_epochs += 1
        if self._estimator.verbose:
            score = f", validation score = {scores[-1]:.6f}" if scores else ""
            print(f"Epoch {self._n_epochs}, loss = {losses[-1]:.6f}{score}")
        if self._fit is None:
            return False
        epoch, self._epoch = self._epoch, None
        stop = epoch.call_on_fit_task_end(
            **self._data, reconstruction_attributes=attributes_of
        )
        if not (stop or is_last) and self._n_epochs < self._max_epochs:
            self.begin_epoch()
        return bool(stop)

    def end(self, attributes):
        """End the fit, and an epoch that had begun but never came to its end."""
        if self._fit is None:
            return
        if self._epoch is not None:
            self._epoch.call_on_fit_task_end(estimator=self._estimator)
        self._fit.call_on_fit_task_end(
            **self._data, reconstruction_attributes=lambda: attributes
        )
