"""The honest rival: a student of exactly the right width, trained by L-BFGS in float64 from several starts.

It has what gradient training can have here: analytic gradients, matrix products, full batches. What it lacks is
a way out of bad minima, and a certificate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from fastmom.activations import Activation, resolve
from fastmom.network import TwoLayerNetwork
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_labels, as_matrix, as_rng, require_finite

Array = npt.NDArray[np.float64]

_CORRECTIONS = 10  # L-BFGS memory; 20 costs a quarter more per step and succeeds no more often
_LEAST_PROGRESS = 0.02  # relative decrease of the loss that `patience` iterations must bring


@dataclass(frozen=True, eq=False)
class StudentFit:
    """The best student of several starts.

    Attributes
    ----------
    network : TwoLayerNetwork
        The student with the smallest residual.
    residual : float
        Its RMS residual relative to the RMS of the labels.
    residuals : ndarray (starts,)
        The residual that each start reached.
    seconds : ndarray (starts,)
        CPU seconds of each start.
    iterations : ndarray (starts,)
        L-BFGS iterations of each start.
    """

    network: TwoLayerNetwork
    residual: float
    residuals: Array
    seconds: Array
    iterations: npt.NDArray[np.int64]


def lbfgs_student(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    n_hidden: int,
    *,
    bias: bool = False,
    activation: str | Activation = "relu",
    starts: int = 1,
    rng: np.random.Generator | int | None = None,
    max_iterations: int = 4000,
    patience: int | None = None,
    stop_below: float = 1e-13,
) -> StudentFit:
    """Train students of known width by L-BFGS, as a careful user would.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs.
    Y : array_like (n, m) or (n,)
        Labels.
    n_hidden : int
        The width, which the rival is told.
    bias : bool
        Train hidden and output biases too.
    activation : str or Activation
        The activation, which the rival is told.
    starts : int
        Independent initialisations. The first, third, ... begin with least-squares output weights, the others
        with random ones: the former succeed more often on few rows, the latter on many.
    rng : Generator, int or None
        Source of the initialisations.
    max_iterations : int
        Iterations a start may take.
    patience : int, optional
        Give a start up when this many iterations lower its loss by less than 2 %; None never gives up.
        Few stalled starts recover, so 200 makes a success two to three times cheaper.
    stop_below : float
        A start ends when its relative residual is below.

    Returns
    -------
    StudentFit
        The best student, and what each start reached and cost.

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.experiments.rivals import lbfgs_student
    >>> teacher = fm.random_teacher(5, 2, 2, rng=0)
    >>> X, Y = fm.make_samples(teacher, 200, rng=1)
    >>> lbfgs_student(X, Y, 2, starts=4, rng=2).residual < 1e-10
    True
    """
    inputs = np.ascontiguousarray(as_matrix(X), dtype=np.float64)
    labels = np.ascontiguousarray(as_labels(Y, len(inputs)), dtype=np.float64)
    require_finite(inputs, "X")
    require_finite(labels, "Y")
    width, count = as_count(n_hidden, "n_hidden"), as_count(starts, "starts")
    generator, _ = as_rng(rng)
    student = Student(inputs, labels, width, bias, resolve(activation))
    residuals, seconds, iterations, weights = [], [], [], []
    with single_blas_thread():
        # Spawned streams: a teacher drawn from the same seed must not be the student's initialisation.
        for start, stream in enumerate(generator.spawn(count)):
            began = time.process_time()
            theta = student.initial(stream, least_squares=start % 2 == 0)
            theta, steps = _minimise(student, theta, max_iterations, patience, stop_below)
            seconds.append(time.process_time() - began)
            residuals.append(student.residual(theta))
            iterations.append(steps)
            weights.append(theta)
    best = int(np.argmin(residuals))
    return StudentFit(
        student.network(weights[best]),
        residuals[best],
        np.array(residuals),
        np.array(seconds),
        np.array(iterations),
    )


def _minimise(
    student: Student, theta: Array, max_iterations: int, patience: int | None, stop_below: float
) -> tuple[Array, int]:
    """L-BFGS until the residual is small, progress ends, or the line search finds nothing lower."""
    losses: list[float] = []

    def watch(intermediate_result: object) -> None:
        losses.append(float(intermediate_result.fun))  # type: ignore[attr-defined]
        if losses[-1] < stop_below**2 / 2:
            raise StopIteration
        if patience and len(losses) > patience and losses[-1] > (1 - _LEAST_PROGRESS) * losses[-1 - patience]:
            raise StopIteration

    limits = {"maxiter": max_iterations, "maxfun": 10 * max_iterations, "maxls": 50}
    found = minimize(
        student.loss_and_gradient,
        theta,
        jac=True,
        method="L-BFGS-B",
        callback=watch,
        options={"maxcor": _CORRECTIONS, "ftol": 0.0, "gtol": 0.0, **limits},
    )
    return found.x, int(found.nit)


class Student:
    """The loss ``||f(X V^T) U + c - Y||^2 / (2 ||Y||^2)`` of a student and its gradient.

    The parameters are V (k, d), with one more column for the hidden bias, and U (k, m), with one more row for
    the output bias, flattened one after the other.
    """

    def __init__(self, X: Array, Y: Array, width: int, bias: bool, activation: Activation) -> None:
        self._X = np.column_stack([X, np.ones(len(X))]) if bias else X
        self._Y, self._k, self._bias, self._activation = Y, width, bias, activation
        self._weight = 1.0 / max(float(np.vdot(Y, Y)), np.finfo(np.float64).tiny)

    def split(self, theta: Array) -> tuple[Array, Array]:
        """Return views of V and of U in the flat parameters."""
        n_hidden_weights = self._k * self._X.shape[1]
        V = theta[:n_hidden_weights].reshape(self._k, -1)
        return V, theta[n_hidden_weights:].reshape(-1, self._Y.shape[1])

    def loss_and_gradient(self, theta: Array, rows: Any = slice(None)) -> tuple[float, Array]:
        """Return the loss and its gradient, by matrix products; an estimate of both from some rows."""
        V, U = self.split(theta)
        k, X, Y = self._k, self._X[rows], self._Y[rows]
        weight = self._weight * len(self._Y) / len(Y)
        pre = X @ V.T
        hidden, slopes = self._activation(pre), self._activation.derivative(pre)
        residual = hidden @ U[:k]
        residual -= Y
        if self._bias:
            residual += U[k]
        gradient = np.empty_like(theta)
        to_V, to_U = self.split(gradient)
        np.matmul(hidden.T, residual, out=to_U[:k])
        if self._bias:
            to_U[k] = residual.sum(axis=0)
        slopes *= residual @ U[:k].T
        np.matmul(slopes.T, X, out=to_V)
        gradient *= weight
        return 0.5 * weight * float(np.vdot(residual, residual)), gradient

    def residual(self, theta: Array) -> float:
        """Return the RMS residual relative to the RMS of the labels."""
        return float(np.sqrt(2.0 * self.loss_and_gradient(theta)[0]))

    def initial(self, rng: np.random.Generator, least_squares: bool) -> Array:
        """Draw hidden weights with pre-activations of unit size, and output weights at the scale of Y.

        Each neuron's two layers are balanced to equal norms, where L-BFGS converges several times faster than
        from He initialisation.
        """
        d = self._X.shape[1] - self._bias
        V = np.zeros((self._k, self._X.shape[1]))
        V[:, :d] = rng.standard_normal((self._k, d))
        V /= _rms(self._X @ V.T)
        hidden = self._activation(self._X @ V.T)
        if least_squares:
            known = np.column_stack([hidden, np.ones(len(hidden))]) if self._bias else hidden
            U = np.linalg.lstsq(known, self._Y, rcond=None)[0]
        else:
            U = self._random_output(rng, hidden)
        balance = np.sqrt(_norms(U[: self._k]) / _norms(V))
        U[: self._k] /= balance
        return np.concatenate([(V * balance).ravel(), U.ravel()])

    def _random_output(self, rng: np.random.Generator, hidden: Array) -> Array:
        """Gaussian output weights that give the labels' spread, and the bias that gives their mean."""
        weights = rng.standard_normal((self._k, self._Y.shape[1]))
        if not self._bias:
            return weights * (_rms(self._Y) / _rms(hidden @ weights))
        weights *= _rms(self._Y - self._Y.mean(axis=0)) / _rms(hidden @ weights)
        return np.vstack([weights, (self._Y - hidden @ weights).mean(axis=0)])

    def network(self, theta: Array) -> TwoLayerNetwork:
        """Return the student as a network."""
        V, U = self.split(theta)
        if not self._bias:
            return TwoLayerNetwork(V, U.T, activation=self._activation)
        return TwoLayerNetwork(V[:, :-1], U[:-1].T, V[:, -1], U[-1], activation=self._activation)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values * values))) or 1.0


def _norms(rows: Array) -> Array:
    norms: Array = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > 0, norms, 1.0)
