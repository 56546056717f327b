"""Hermite part of the labels up to degree two: control variates for higher moments, and low moments themselves.

The constant, linear and quadratic parts of a label carry nearly all its variance and nothing of its moments of order
three and more. Removing them first divides the mean squared error of such moments by 30 to 500.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.moments.quadratic import moments, residuals
from fastmom.moments.whitening import symmetric_roots
from fastmom.runtime.passes import Rows
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_labels, as_matrix, as_number, require_finite, require_visible

Array = npt.NDArray[np.float64]

ROOT2 = np.sqrt(2.0)
ROUND_OFF = 1e-14  # of a gradient, relative to the labels, in one dimension
CONSTANT = 1e-10  # share of its mean square below which the variance of an input counts as none


@dataclass(frozen=True)
class HermiteCoefficients:
    """Polynomials ``constant + linear.x + x^T quadratic x - tr(quadratic)`` fitted to labels, one an output.

    For standard Gaussian inputs they estimate the Hermite expansion of the labels, hence the moments
    ``T_0 = E[y] = constant``, ``T_1 = E[y x] = linear``, ``T_2 = E[y (x x^T - I)] = 2 quadratic``, with far less
    variance than the plain means of these products.

    Attributes
    ----------
    constant : ndarray (m,)
    linear : ndarray (m, d)
    quadratic : ndarray (m, d, d)
        Symmetric; zero below degree two.
    iterations : int
        Steps of conjugate gradients; none below degree two.
    relative_residual : float
        What remains of the gradient of the least squares, relative to that at the labels' mean; the worst output's.
    """

    constant: Array
    linear: Array
    quadratic: Array
    iterations: int
    relative_residual: float

    def residual(self, X: npt.ArrayLike, Y: npt.ArrayLike) -> Array:
        """Labels minus the polynomials, on the rows of the fit or on others.

        Parameters
        ----------
        X, Y : array_like (n, d), (n, m) or (n,)
            Rows.

        Returns
        -------
        ndarray of the shape of Y

        Raises
        ------
        ValueError, TypeError
            For invalid rows, or another number of columns than the fit had.
        """
        inputs, labels, shape = _read(X, Y)
        m, d = self.linear.shape
        found = inputs.shape[1], labels.shape[1]
        if found != (d, m):
            raise ValueError(f"X, Y: have {found[0]} and {found[1]} columns, the fit {d} and {m}; pass rows like those")
        constant = self.constant - np.trace(self.quadratic, axis1=1, axis2=2)
        with single_blas_thread():
            return _residual(inputs, labels, _forms(constant, self.linear, self.quadratic)).reshape(shape)


def hermite_residual(
    X: npt.ArrayLike, Y: npt.ArrayLike, degree: int = 2, *, tol: float = 1e-6, max_iterations: int = 1000
) -> tuple[Array, HermiteCoefficients]:
    """Remove the Hermite part of the labels up to a degree, by least squares.

    Polynomials of degree two are fitted by conjugate gradients in the basis ``{1, x', (x' x'^T - I) / sqrt(2)}``,
    ``x' = C^{-1/2} (x - mean)`` with mean and covariance C of the rows: orthonormal for Gaussian inputs up to
    sampling, so that a few steps of 4 n d^2 m operations do. The design matrix of all products is never formed: each
    step reads the rows once and holds a tile of them.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs; standard Gaussian for the coefficients to be moments. For any others this is the least-squares fit
        all the same, slower where products of inputs are nearly dependent; inputs and directions that vary by less
        than 1e-5 of their size count as constant.
    Y : array_like (n, m) or (n,)
        Labels.
    degree : int
        0, 1 or 2.
    tol : float
        Stop when the gradient is this small relative to that at the labels' mean, or small by round-off: errors of
        the coefficients are then about as small relative to all of them, far below sampling errors.
    max_iterations : int
        Steps at most; compare ``relative_residual`` with `tol` to see whether they sufficed. Few do if n is many
        times the number of coefficients, hundreds are needed where it is hardly more.

    Returns
    -------
    residual : ndarray of the shape of Y
        Labels minus the fit: the labels to estimate moments of higher order from.
    coefficients : HermiteCoefficients
        The fit.

    Raises
    ------
    ValueError
        For invalid rows, naming the entry; for fewer rows than coefficients, 1, 1 + d or (1 + d)(2 + d) / 2.
    TypeError
        For entries that are not real numbers.

    Notes
    -----
    Serves the moments of Ge, Lee, Ma 2017 (arXiv 1711.00501); the control variates are our own addition.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.hermite import hermite_residual
    >>> X = np.random.default_rng(0).standard_normal((1000, 3))
    >>> residual, fit = hermite_residual(X, 1 + X[:, 0] + X[:, 1] * X[:, 2])
    >>> bool(np.abs(residual).max() < 1e-5)
    True
    >>> fit.linear.round(3) + 0.0
    array([[1., 0., 0.]])
    """
    inputs, labels, shape = _read(X, Y)
    degree = as_count(degree, "degree", minimum=0)
    if degree > 2:
        raise ValueError(f"degree: expected 0, 1 or 2, got {degree}")
    _require_rows(inputs, degree)
    tol, max_iterations = as_number(tol, "tol", 0.0), as_count(max_iterations, "max_iterations", minimum=0)
    with single_blas_thread():
        forms, iterations, left = _fit(inputs, labels, degree, tol, max_iterations)
        residual = _residual(inputs, labels, forms).reshape(shape)
    constant, linear, quadratic = _parts(forms)
    constant = constant + np.trace(quadratic, axis1=1, axis2=2)
    return residual, HermiteCoefficients(constant, linear, quadratic, iterations, left)


def _read(X: npt.ArrayLike, Y: npt.ArrayLike) -> tuple[Array, Array, tuple[int, ...]]:
    """Inputs (n, d), labels (n, m), and the shape in which the caller passed the labels."""
    inputs = as_matrix(X)
    labels = as_labels(Y, len(inputs))
    return inputs, labels, np.shape(Y)


def _require_rows(inputs: Array, degree: int) -> None:
    n, d = inputs.shape
    unknowns = math.comb(d + degree, degree)
    if n < unknowns:
        raise ValueError(
            f"X: {n} rows for the {unknowns} coefficients of degree {degree} in {d} inputs; "
            f"pass at least {unknowns} rows, better ten times as many, or a lower degree"
        )


def _require_finite(found: Array, inputs: Array, labels: Array) -> None:
    """Name the entry of the rows that made a result NaN or infinite."""
    if not np.isfinite(found).all():
        require_finite(inputs, "X")
        require_finite(labels, "Y")
        raise ValueError("X, Y: products y x x^T overflow; rescale the inputs or the labels")


def _residual(inputs: Array, labels: Array, forms: Array) -> Array:
    out = residuals(Rows(inputs, labels), forms)
    _require_finite(out, inputs, labels)
    return out


def _forms(constant: Array, linear: Array, quadratic: Array) -> Array:
    """Polynomials constant + linear.x + x^T quadratic x as forms in [x, 1], (q, d + 1, d + 1)."""
    q, d = linear.shape
    forms = np.empty((q, d + 1, d + 1))
    forms[:, :d, :d], forms[:, d, d] = quadratic, constant
    forms[:, :d, d] = forms[:, d, :d] = linear / 2
    return forms


def _parts(forms: Array) -> tuple[Array, Array, Array]:
    """Polynomials from their forms: the inverse of `_forms`."""
    return forms[:, -1, -1], 2 * forms[:, -1, :-1], forms[:, :-1, :-1]


@dataclass(frozen=True)
class _Frame:
    """Coordinates x' = C^{-1/2} (x - mean) of rows with this mean and covariance, z' = map z with z = [x, 1].

    Polynomials without constant are vectors (q, d + d^2) in ``x', (x' x'^T - projector) / sqrt(2)``: the covariance
    of x' is `projector`, I unless inputs are dependent, so neither correlates with a constant.
    """

    map: Array
    projector: Array

    def forms(self, vectors: Array) -> Array:
        """Polynomials as forms in [x, 1]."""
        d = len(self.projector)
        quadratic = vectors[:, d:].reshape(-1, d, d) / ROOT2
        constant = -np.sum(quadratic * self.projector, axis=(1, 2))
        return np.asarray(self.map.T @ _forms(constant, vectors[:, :d], quadratic) @ self.map)

    def products(self, means: Array) -> Array:
        """Inner products with the basis, vectors (q, d + d^2), of what has the means e z z^T (q, d + 1, d + 1)."""
        moved = self.map @ means @ self.map.T
        quadratic = (moved[:, :-1, :-1] - np.multiply.outer(moved[:, -1, -1], self.projector)) / ROOT2
        symmetric = (quadratic + quadratic.transpose(0, 2, 1)) / 2  # what is not would never converge
        return np.hstack([moved[:, -1, :-1], symmetric.reshape(len(means), -1)])


def _frame(inputs: Array) -> _Frame:
    """Mean and covariance of the rows; inputs and directions that hardly vary get no coordinate."""
    n, d = inputs.shape
    second = moments(Rows(inputs, np.broadcast_to(1.0, (n, 1))))[0] / n
    _require_finite(second, inputs, inputs)
    mean, square = second[d, :d], second[:d, :d]
    covariance = square - np.outer(mean, mean)
    variance = np.diag(covariance)
    varying = variance > CONSTANT * np.diag(square)
    if not varying.all():
        require_visible(inputs, "X")
    scale = np.where(varying, 1.0 / np.sqrt(np.where(varying, variance, 1.0)), 0.0)
    correlation = scale[:, np.newaxis] * covariance * scale
    inverse_root = symmetric_roots(correlation, floor=CONSTANT).inverse_root
    root = inverse_root * scale
    change = np.block([[root, -(root @ mean)[:, np.newaxis]], [np.zeros((1, d)), np.ones((1, 1))]])
    return _Frame(change, inverse_root @ correlation @ inverse_root)


def _fit(inputs: Array, labels: Array, degree: int, tol: float, max_iterations: int) -> tuple[Array, int, float]:
    """Forms of the least-squares polynomials, steps, and what is left of the gradient.

    Means of the labels' products solve degrees 0 and 1, and are the right-hand side of degree 2.
    """
    n, d = inputs.shape
    rows, frame = Rows(inputs, labels), _frame(inputs)
    means = moments(rows) / n
    _require_finite(means, inputs, labels)
    unit = _largest(rows)  # relative to it squares neither overflow nor underflow
    vectors = frame.products(means) / unit[:, np.newaxis]
    vectors[:, (0, d, d + d * d)[degree] :] = 0.0
    floor = ROUND_OFF * (1 + d)
    vectors[_lengths(vectors) <= floor] = 0.0
    iterations, left = 0, 0.0
    if degree == 2:
        limit = np.maximum(tol * _lengths(vectors), floor)
        vectors, iterations, left = _conjugate_gradients(inputs, frame, vectors, limit, max_iterations)
    forms = frame.forms(vectors) * unit[:, np.newaxis, np.newaxis]
    forms[:, d, d] += means[:, d, d]
    return forms, iterations, left


def _largest(rows: Rows) -> Array:
    """Largest size of a label of each output, one where all are zero."""
    largest = np.zeros(rows.n_outputs)
    for labels in rows.label_chunks(1 << 16):
        np.maximum(largest, np.abs(labels).max(axis=0), out=largest)
    return np.where(largest > 0, largest, 1.0)


def _conjugate_gradients(
    inputs: Array, frame: _Frame, target: Array, limit: Array, max_iterations: int
) -> tuple[Array, int, float]:
    """Solve the normal equations, right-hand sides `target` (m, d + d^2), until residuals are at most `limit` long."""
    rows = Rows(inputs, np.empty((len(inputs), 0)))

    def normal(vectors: Array) -> Array:
        return -frame.products(moments(rows, frame.forms(vectors)) / rows.n_rows)

    solution, residual, direction = np.zeros_like(target), target.copy(), target.copy()
    length = start = _lengths(target)
    iterations = 0
    while iterations < max_iterations and np.any(active := length > limit):
        image = normal(direction[active])
        step = (length[active] ** 2 / np.einsum("ij,ij->i", direction[active], image))[:, np.newaxis]
        solution[active] += step * direction[active]
        residual[active] -= step * image
        before, length = length, _lengths(residual)
        turn = (length[active] / before[active])[:, np.newaxis] ** 2
        direction[active] = residual[active] + turn * direction[active]
        iterations += 1
    left = np.divide(length, start, out=np.zeros(len(start)), where=start > 0)
    return solution, iterations, float(left.max())


def _lengths(vectors: Array) -> Array:
    return np.asarray(np.linalg.norm(vectors, axis=1))
