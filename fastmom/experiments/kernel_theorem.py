"""The theorem of Zhang, Lee and Jordan 2015 on data: no network of the class is below the ball's dual value.

Labels of a random l1-bounded network with noise; least squares over the ball of the recursive kernel whose radius is
the norm bound F(k, L); the network's own loss against the proven lower bound, and what the minimiser loses on new rows.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.ball import BallFit, dual_value
from fastmom.rkhs.networks import random_l1_network
from fastmom.rkhs.norms import network_norm_bound, sample_norm
from fastmom.rkhs.products import as_ball_rows, kernel_values
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_count, as_number, as_rng

Array = npt.NDArray[np.float64]

_TEST_ROWS = 4000


def theorem_on_data(
    depth: int,
    n: int,
    *,
    activation: Literal["erf", "smoothed_hinge"] = "erf",
    c: float = 0.25,
    L: float = 1.0,
    n_inputs: int = 10,
    width: int = 6,
    noise: float = 0.1,
    rng: int | np.random.Generator | None = 0,
) -> dict[str, Any]:
    """Fit the ball to labels of one network of the class, and compare.

    Parameters
    ----------
    depth, n : int
        Activation layers k of the network and depth of the kernel; rows, uniform in the unit ball.
    activation, c, L, n_inputs, width
        The network, see `fastmom.rkhs.networks.random_l1_network`.
    noise : float
        Standard deviation of the labels' noise.
    rng : None, int or Generator
        Source of the network and the rows.

    Returns
    -------
    dict
        JSON-ready: "radius" F(k, L); "network_loss" and "network_norm", a lower bound from the rows; "primal", "dual",
        "norm" of the fit; "excess", its mean squared distance to the network on 4000 new rows; "variance" of the
        network there.

    Examples
    --------
    >>> from fastmom.experiments.kernel_theorem import theorem_on_data
    >>> found = theorem_on_data(1, 100)
    >>> found["dual"] <= found["network_loss"], found["network_norm"] <= found["radius"]
    (True, True)
    """
    rows, inputs = as_count(n, "n", 2), as_count(n_inputs, "n_inputs")
    spread = as_number(noise, "noise", 0.0)
    radius = math.exp(network_norm_bound(depth, L, activation, c))
    generator, _ = as_rng(rng)
    weights, points = generator.spawn(2)
    teacher = random_l1_network(inputs, depth, L, width=width, activation=activation, c=c, rng=weights)
    X, Z = in_ball(rows, inputs, points), in_ball(_TEST_ROWS, inputs, points)
    clean = teacher.predict(X)
    y = clean + spread * points.standard_normal(rows)
    with single_blas_thread():
        K = kernel_values(as_ball_rows(X), None, depth)
        fit = _least_squares(K, y[:, np.newaxis], radius)
        found = kernel_values(as_ball_rows(Z), as_ball_rows(X), depth) @ fit.coefficients[:, 0]
        norm = sample_norm(K, clean)
    return {
        "radius": radius,
        "network_loss": 0.5 * float(np.mean((clean - y) ** 2)),
        "network_norm": norm,
        "primal": fit.primal,
        "dual": fit.dual,
        "norm": fit.norm,
        "excess": float(np.mean((found - teacher.predict(Z)) ** 2)),
        "variance": float(np.var(teacher.predict(Z))),
    }


def in_ball(n: int, d: int, rng: np.random.Generator) -> Array:
    """Rows (n, d), uniform in the unit ball."""
    X = rng.standard_normal((n, d))
    return np.asarray(X * (rng.random((n, 1)) ** (1 / d) / np.linalg.norm(X, axis=1, keepdims=True)))


def _least_squares(K: Array, Y: Array, radius: float) -> BallFit:
    """Half the mean squared error over the ball, by the eigenvalues of K and Newton on 1 / norm."""
    n = len(K)
    spectrum, vectors = np.linalg.eigh(K)
    spectrum = np.maximum(spectrum, 0.0)
    along = vectors.T @ Y
    squares = np.sum(along * along, axis=1)
    penalty, steps = 1e-14 * float(spectrum[-1]), 0
    while steps < 100:
        steps += 1
        shifted = spectrum + penalty
        norm = math.sqrt(float(np.sum(spectrum * squares / shifted**2)))
        if norm <= radius * (1 + 1e-13):
            break
        slope = float(np.sum(spectrum * squares / shifted**3)) / norm
        penalty += norm / radius * (norm - radius) / slope
    alpha = vectors @ (along / (spectrum + penalty)[:, np.newaxis])
    values = K @ alpha
    a = Y - values
    conjugate = float(np.sum(a * Y - 0.5 * a * a))
    dual = dual_value(a, conjugate, float(np.vdot(a, K @ a)), radius)
    primal = 0.5 * float(np.vdot(a, a)) / n
    norm = math.sqrt(float(np.vdot(alpha, values)))
    return BallFit(coefficients=alpha, norm=norm, penalty=penalty / n, primal=primal, dual=dual, iterations=steps)
