"""`ConvergenceDisplay`: how the fit of a model, or the plans of sets, have converged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from otk_sklearn.display._drawing import axes_for, pyplot
from otk_sklearn.inspection._pipeline_steps import model_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

    from otk_sklearn.sets._types import SetsLike


# Of the same colour-blind-safe cycle as supports.
_BLUE, _RED = "#3f90da", "#bd1f01"


class ConvergenceDisplay:
    """How the fit of a model, or the plans of sets, have converged.

    It is recommended to use `ConvergenceDisplay.from_estimator` to create a display. All
    parameters are stored as attributes. One of `objective_history`, `loss_curve` and
    `residual` is drawn.

    Parameters
    ----------
    objective_history : array-like of shape (n_iter,), default=None
        Mean similarity between sets and references in the iterations of learning these.
    loss_curve : array-like of shape (n_epochs,), default=None
        Loss after each epoch of training.
    validation_scores : array-like of shape (n_epochs,), default=None
        Scores of the sets held out, drawn with the loss.
    n_iter : ndarray of int of shape (n_sets, n_references), default=None
        Sinkhorn's iterations for each set, drawn with the residual.
    residual : ndarray of shape (n_sets, n_references), default=None
        Marginal errors of the plans after these iterations.
    tol : float, default=None
        The tolerance of the residual.

    Attributes
    ----------
    line_ : matplotlib Line2D or None
        The history, or the loss.
    score_line_ : matplotlib Line2D or None
        The validation scores.
    points_ : matplotlib PathCollection or None
        Iterations and residuals.
    tol_line_ : matplotlib Line2D or None
    ax_ : matplotlib Axes
    score_ax_ : matplotlib Axes or None
        Those of the validation scores, with an axis of their own.
    figure_ : matplotlib Figure

    See Also
    --------
    otk_sklearn.OTKEmbedding.sinkhorn_diagnostics : Iterations and residuals.

    Examples
    --------
    >>> import numpy as np
    >>> from otk_sklearn import OTKEmbedding
    >>> from otk_sklearn.display import ConvergenceDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 3)) for n in (20, 35, 50)]
    >>> embedding = OTKEmbedding(4, n_components=8, random_state=0).fit(X)
    >>> display = ConvergenceDisplay.from_estimator(embedding, X)
    >>> display.n_iter.shape
    (3, 1)
    """

    __module__ = "otk_sklearn.display"  # where users import it from

    def __init__(
        self,
        *,
        objective_history: ArrayLike | None = None,
        loss_curve: ArrayLike | None = None,
        validation_scores: ArrayLike | None = None,
        n_iter: NDArray[np.int64] | None = None,
        residual: NDArray[np.floating] | None = None,
        tol: float | None = None,
    ) -> None:
        self.objective_history = objective_history
        self.loss_curve = loss_curve
        self.validation_scores = validation_scores
        self.n_iter = n_iter
        self.residual = residual
        self.tol = tol

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, X: SetsLike | None = None, *, ax: Axes | None = None
    ) -> Self:
        """Draw how a fitted model, or the plans of sets, have converged.

        Parameters
        ----------
        estimator : estimator
            A fitted `OTKEmbedding`, `OTKClassifier` or `OTKRegressor`, or a Pipeline or
            search with one.
        X : sets, default=None
            With sets, Sinkhorn's iterations and residuals for them are drawn. Without, the
            loss and validation scores of a classifier or regressor, or the objective of an
            embedding's references.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        ConvergenceDisplay
            The display, with its data.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there was nothing to iterate.
        """
        pyplot(cls.__name__)
        steps = model_steps(estimator)
        embedding = steps.embedding
        if X is not None:
            if embedding.solver != "sinkhorn":
                raise ValueError(
                    f"solver is {embedding.solver!r}, which doesn't iterate; expected "
                    "'sinkhorn', or X=None."
                )
            for _, step in steps.before:
                X = step.transform(X)
            found = embedding.sinkhorn_diagnostics(X)
            display = cls(n_iter=found.n_iter, residual=found.residual, tol=embedding.tol)
        elif hasattr(steps.owner, "loss_curve_"):
            owner = steps.owner
            display = cls(
                loss_curve=owner.loss_curve_, validation_scores=owner.validation_scores_
            )
        else:
            display = cls(objective_history=embedding.objective_history_)
        if len(display._iterates()) == 0:
            raise ValueError(
                "Nothing was iterated in this fit: references learned from elements have "
                "no history, nor have models of which only the linear model was "
                "trained; pass X to see Sinkhorn's iterations."
            )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        ConvergenceDisplay
            The display itself, with what it has drawn as attributes.
        """
        self.ax_ = axes_for(self, ax, (6.4, 4.0))
        self.figure_ = self.ax_.figure
        self.line_ = self.score_line_ = self.points_ = self.tol_line_ = None
        self.score_ax_ = None
        if self.residual is not None:
            self._draw_residuals()
        else:
            self._draw_history()
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _iterates(self):
        """What is drawn."""
        drawn = self.residual, self.loss_curve, self.objective_history
        return next((values for values in drawn if values is not None), ())

    def _draw_residuals(self):
        self.points_ = self.ax_.scatter(
            self.n_iter.ravel(), self.residual.ravel(), s=12, alpha=0.5, color=_BLUE
        )
        self.ax_.set(xlabel="Sinkhorn iterations", ylabel="error of the plan")
        if (self.residual > 0).any():
            self.ax_.set_yscale("log", nonpositive="clip")
        if self.tol:
            self.tol_line_ = self.ax_.axhline(self.tol, color=_RED, ls="--", label="tol")
            self.ax_.legend(loc="best")

    def _draw_history(self):
        values = self._iterates()
        is_loss = self.loss_curve is not None
        iterations = np.arange(1, len(values) + 1)
        label = "loss" if is_loss else "objective"
        (self.line_,) = self.ax_.plot(
            iterations, values, color=_BLUE, marker=".", label=label
        )
        self.ax_.set(
            xlabel="epoch" if is_loss else "iteration of reference learning",
            ylabel="loss" if is_loss else "mean similarity to the nearest reference",
        )
        if is_loss and self.validation_scores is not None and len(self.validation_scores):
            self.score_ax_ = self.ax_.twinx()
            (self.score_line_,) = self.score_ax_.plot(
                np.arange(1, len(self.validation_scores) + 1),
                self.validation_scores,
                color=_RED,
                marker=".",
                label="validation score",
            )
            self.score_ax_.set_ylabel("validation score")
            self.ax_.legend(
                handles=[self.line_, self.score_line_],
                loc="lower center",
                bbox_to_anchor=(0.5, 1.0),
                ncols=2,
                frameon=False,
            )
