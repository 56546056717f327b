"""The rival that most people would train: a student of the right width, by Adam on batches of rows.

Kingma and Ba 2015, arXiv 1412.6980, with the step falling to zero as a half cosine.
"""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation, resolve
from fastmom.experiments.rivals import Student, StudentFit
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_labels, as_matrix, as_number, as_rng, require_finite

Array = npt.NDArray[np.float64]

_DECAY_1, _DECAY_2, _EPSILON = 0.9, 0.999, 1e-8  # as published


def adam_student(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    n_hidden: int,
    *,
    bias: bool = False,
    activation: str | Activation = "relu",
    starts: int = 1,
    steps: int = 5000,
    batch: int = 128,
    rate: float = 0.01,
    rng: np.random.Generator | int | None = None,
) -> StudentFit:
    """Train students of known width by Adam, in float64.

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
        Independent initialisations.
    steps : int
        Updates of each start.
    batch : int
        Rows of an update, drawn without replacement until all were seen; all rows if there are no more.
    rate : float
        Step at the beginning.
    rng : Generator, int or None
        Source of initialisations and batches.

    Returns
    -------
    StudentFit
        The best student, and what each start reached and cost.

    Raises
    ------
    ValueError, TypeError
        For data that are not finite numbers, and options that are none.

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.experiments.adam import adam_student
    >>> teacher = fm.random_teacher(5, 2, 2, rng=2)
    >>> X, Y = fm.make_samples(teacher, 200, rng=1)
    >>> adam_student(X, Y, 2, starts=4, steps=1000, rng=2).residual < 1e-6
    True
    """
    inputs = np.ascontiguousarray(as_matrix(X), dtype=np.float64)
    labels = np.ascontiguousarray(as_labels(Y, len(inputs)), dtype=np.float64)
    require_finite(inputs, "X")
    require_finite(labels, "Y")
    count, updates, size = as_count(starts, "starts"), as_count(steps, "steps"), as_count(batch, "batch")
    step = as_number(rate, "rate", 0.0)
    student = Student(inputs, labels, as_count(n_hidden, "n_hidden"), bias, resolve(activation))
    residuals, seconds, weights = [], [], []
    with single_blas_thread():
        for stream in as_rng(rng)[0].spawn(count):
            began = time.process_time()
            theta = student.initial(stream, least_squares=False)
            _descend(student, theta, len(inputs), updates, size, step, stream)
            seconds.append(time.process_time() - began)
            residuals.append(student.residual(theta))
            weights.append(theta)
    best = int(np.argmin(residuals))
    iterations = np.full(count, updates, dtype=np.int64)
    network = student.network(weights[best])
    return StudentFit(network, residuals[best], np.array(residuals), np.array(seconds), iterations)


def _descend(
    student: Student, theta: Array, n: int, steps: int, batch: int, rate: float, rng: np.random.Generator
) -> None:
    """Update the parameters in place."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    order, at = rng.permutation(n), 0
    for t in range(1, steps + 1):
        rows = order[at : at + batch] if batch < n else slice(None)
        at += batch
        if at + batch > n:
            order, at = rng.permutation(n), 0
        gradient = student.loss_and_gradient(theta, rows)[1]
        mean += (1 - _DECAY_1) * (gradient - mean)
        square += (1 - _DECAY_2) * (gradient * gradient - square)
        size = 0.5 * rate * (1 + math.cos(math.pi * t / steps)) / (1 - _DECAY_1**t)
        theta -= size * mean / (np.sqrt(square / (1 - _DECAY_2**t)) + _EPSILON)
