"""Norms of l1-bounded networks in the space of the recursive kernel: the bound for the class, and of one network.

Zhang, Lee and Jordan 2015, arXiv 1510.03528. The formulas for a single network are our own derivation from the Taylor
coefficients of the kernel, c_0 = k / (k + 1) and c_j = k^(j-1) / (k + 1)^(j+1): for f = sum_a f_a x^a on the unit
ball, ||f||^2 = sum_a f_a^2 a! / (c_|a| |a|!).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.runtime.validation import as_choice, as_count, as_number

Array = npt.NDArray[np.float64]

ACTIVATIONS = ("erf", "smoothed_hinge")
_LONGEST = 1e6  # peak term up to which the series is summed; beyond, its leading asymptotic term is as accurate
_WINDOW = 40  # standard deviations of the peak that are summed: what is left out is below e^-400
_LARGEST_TABLE = 200_000  # coefficients of a polynomial


def network_norm_bound(depth: int, L: float, activation: str = "erf", c: float = 1.0) -> float:
    """Logarithm of the bound F(depth, L) on the kernel norm of every l1-bounded network, of any width.

    The class: N_0 holds <w, x> with ||w||_2 <= L, and N_p the sums sum_j w_j s(f_j) of f_j in N_{p-1} with
    ||w||_1 <= L. F is H applied `depth` times to L, where H(t) = L sqrt(sum_j 2^(j+1) b_j^2 t^(2j)) and b_j are the
    Taylor coefficients of the activation s.

    Parameters
    ----------
    depth : int
        Number of activation layers k; 0 is the linear class.
    L : float
        Bound of the weights of each neuron, positive.
    activation : {"erf", "smoothed_hinge"}
        s(t) = erf(sqrt(c) t), or the integral of (1 + erf(sqrt(c) t)) / 2, which is at most 1 / (2 sqrt(pi c)) above
        the rectifier.
    c : float
        Sharpness of the activation, positive.

    Returns
    -------
    float
        log F: F is a tower of exponentials in c L^2, and `inf` means that even its logarithm exceeds the range of
        floats.

    Raises
    ------
    ValueError, TypeError
        For a negative depth, L or c that is not positive, an unknown activation.

    Notes
    -----
    Zhang, Lee, Jordan 2015, section 3 (sigmoid-like and ReLU-like activations). The plain rectifier is in the space
    of no ball. F is far above the norm of most networks once c L^2 > 1, see `fastmom.rkhs.norms.network_norm`.

    Examples
    --------
    >>> import math
    >>> import fastmom as fm
    >>> round(math.exp(fm.network_norm_bound(2, 1.0, "erf", c=0.25)), 2)
    1.32
    """
    layers = as_count(depth, "depth", minimum=0)
    bound = math.log(_positive(L, "L"))
    series = _SERIES[as_choice(activation, "activation", ACTIVATIONS)]
    sharpness = _positive(c, "c")
    log_weight = bound
    for _ in range(layers):
        bound = log_weight + 0.5 * series(bound, sharpness)
    return bound


def network_norm(weights: Sequence[Any], activation: str = "erf", c: float = 1.0, *, degree: int = 40) -> float:
    """Norm of one network in the space of the recursive kernel of its own depth.

    Parameters
    ----------
    weights : sequence of array_like
        Hidden weights (k_1, d), then a matrix (k_p, k_{p-1}) for each further layer, the last one (1, k).
    activation, c : str, float
        As in `network_norm_bound`.
    degree : int
        Degree at which the Taylor series of the network is cut for two or more activation layers. All terms are
        positive, so the norm of the polynomial never exceeds the norm of the network. It is exact in no dimension
        but the rank r of the first layer, and takes C(degree + r, r) coefficients. One activation layer is summed
        until nothing is added.

    Returns
    -------
    float
        ||f||, or `inf` beyond the range of floats.

    Raises
    ------
    ValueError
        For weights whose shapes do not fit, or too many coefficients: `sample_norm` is a lower bound in any dimension.

    Examples
    --------
    >>> from fastmom.rkhs.norms import network_norm
    >>> round(network_norm([[[0.6, 0.8]], [[1.0]]], "erf", c=0.25), 3)
    1.144
    """
    layers = _read_layers(weights)
    as_choice(activation, "activation", ACTIVATIONS)
    sharpness, terms = _positive(c, "c"), as_count(degree, "degree")
    if len(layers) == 1:
        return float(np.linalg.norm(layers[0]))
    if len(layers) == 2:
        return _one_layer_norm(layers[0], layers[1][0], activation, sharpness)
    return _taylor_norm(layers, taylor(activation, sharpness, terms))


def sample_norm(K: Array, values: Array) -> float:
    """Lower bound sqrt(y^T K^-1 y) on the norm of a function with values y (n,) on the rows of a kernel matrix (n, n).

    A ridge of 1e-13 of the trace guards against round-off; it only lowers the bound.
    """
    spectrum, vectors = np.linalg.eigh(K)
    ridge = 1e-13 * float(np.trace(K))
    along = vectors.T @ values
    return float(np.sqrt(np.sum(along * along / (np.maximum(spectrum, 0.0) + ridge))))


def taylor(activation: str, c: float, degree: int) -> Array:
    """Taylor coefficients b_0..b_degree of an activation at 0."""
    coefficients = np.zeros(degree + 1)
    if activation == "erf":
        for i in range((degree + 1) // 2):
            log_size = (i + 0.5) * math.log(c) - math.lgamma(i + 1)
            coefficients[2 * i + 1] = (-1) ** i * 2 / math.sqrt(math.pi) * math.exp(log_size) / (2 * i + 1)
        return coefficients
    coefficients[0] = 1 / (2 * math.sqrt(math.pi * c))
    coefficients[1] = 0.5
    for i in range(degree // 2):
        log_size = (i + 0.5) * math.log(c) - math.lgamma(i + 1)
        scale = math.sqrt(math.pi) * (2 * i + 1) * (2 * i + 2)
        coefficients[2 * i + 2] = (-1) ** i * math.exp(log_size) / scale
    return coefficients


def kernel_taylor(depth: int, degree: int) -> Array:
    """Taylor coefficients c_0..c_degree of the recursive kernel of positive depth."""
    powers = np.arange(degree + 1)
    coefficients = np.asarray((depth / (depth + 1.0)) ** powers / (depth * (depth + 1.0)), dtype=np.float64)
    coefficients[0] = depth / (depth + 1.0)
    return coefficients


def _positive(value: Any, name: str) -> float:
    number = as_number(value, name)
    if number <= 0:
        raise ValueError(f"{name}: expected a positive number, got {number:g}")
    return number


def _log_bessel_like(log_z: float, divisors: int) -> float:
    """Log sum_i z^(2i) / (i!)^2 / prod_{q=1..divisors} (2i + q)^2, whose largest term is near i = z."""
    if log_z > math.log(_LONGEST):
        if log_z > 700.0:
            return math.inf
        z = math.exp(log_z)  # Laplace: sum_i z^(2i) / (i!)^2 = I_0(2z) ~ e^(2z) / sqrt(4 pi z)
        return 2 * z - 0.5 * math.log(4 * math.pi * z) - 2 * divisors * math.log(2 * z)
    z = math.exp(log_z)
    half = _WINDOW * (math.sqrt(z) + 1)
    i = np.arange(max(0.0, math.floor(z - half)), math.ceil(z + half) + 1)
    log_factorial = np.array([math.lgamma(index + 1) for index in i])
    logs = 2 * i * log_z - 2 * log_factorial
    for q in range(1, divisors + 1):
        logs -= 2 * np.log(2 * i + q)
    return _log_sum(logs)


def _log_sum(logs: Array) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()))


def _erf_series(log_t: float, c: float) -> float:
    """Log sum_j 2^(j+1) b_j^2 t^(2j) of the error function: z = 2 c t^2, 8 z / pi sum_i z^(2i) / (i! (2i + 1))^2."""
    log_z = math.log(2 * c) + 2 * log_t
    return math.log(8 / math.pi) + log_z + _log_bessel_like(log_z, 1)


def _hinge_series(log_t: float, c: float) -> float:
    """Same of the smoothed hinge: 1 / (2 pi c) + t^2 + 2 z^2 / (pi c) sum_i z^(2i) / (i! (2i + 1) (2i + 2))^2."""
    log_z = math.log(2 * c) + 2 * log_t
    series = math.log(2 / (math.pi * c)) + 2 * log_z + _log_bessel_like(log_z, 2)
    if math.isinf(series):
        return series
    return _log_sum(np.array([-math.log(2 * math.pi * c), 2 * log_t, series]))


_SERIES = {"erf": _erf_series, "smoothed_hinge": _hinge_series}


def _read_layers(weights: Sequence[Any]) -> list[Array]:
    layers = [np.atleast_2d(np.asarray(W, dtype=np.float64)) for W in weights]
    if not layers:
        raise ValueError("weights: expected at least one matrix, got none")
    for number, (W, below) in enumerate(itertools.pairwise(reversed(layers))):
        if W.shape[1] != below.shape[0]:
            place = len(layers) - 1 - number
            raise ValueError(f"weights[{place}]: has {W.shape[1]} columns, the layer below {below.shape[0]} rows")
    if layers[-1].shape[0] != 1:
        raise ValueError(f"weights: the last matrix has {layers[-1].shape[0]} rows; pass one output at a time")
    return layers


def _one_layer_norm(W: Array, a: Array, activation: str, c: float) -> float:
    """||sum_i a_i s(w_i.x)||^2 = sum_j b_j^2 / c_j a^T (W W^T)^(j) a, entry-wise powers; exact in any dimension."""
    gram = W @ W.T
    with np.errstate(over="ignore", invalid="ignore"):
        for degree in (40, 200, 1000):
            b, kernel = taylor(activation, c, degree), kernel_taylor(1, degree)
            power, total, last = np.ones_like(gram), 0.0, 0.0
            for j in range(degree + 1):
                last = float(b[j] ** 2 / kernel[j] * (a @ power @ a)) if b[j] else last
                total += last if b[j] else 0.0
                power = power * gram
            if not math.isfinite(total):
                return math.inf
            if last <= 1e-17 * total:
                break
    return math.sqrt(max(total, 0.0))


def _taylor_norm(layers: list[Array], b: Array) -> float:
    """Norm of the Taylor polynomial of a deep network, in coordinates of the row space of its first layer."""
    degree, depth = len(b) - 1, len(layers) - 1
    _, sizes, axes = np.linalg.svd(layers[0], full_matrices=False)
    rank = max(1, int((sizes > 1e-12 * sizes[0]).sum()))
    if (degree + 1) ** rank > _LARGEST_TABLE:
        raise ValueError(
            f"weights: a first layer of rank {rank} needs {degree + 1}^{rank} Taylor coefficients; lower degree, "
            "or use sample_norm, a lower bound"
        )
    shape = (degree + 1,) * rank
    totals = np.indices(shape).sum(axis=0)
    functions = []
    for w in layers[0] @ axes[:rank].T:
        linear = np.zeros(shape)
        for axis in range(rank):
            linear[tuple(int(axis == other) for other in range(rank))] = w[axis]
        functions.append(linear)
    for W in layers[1:]:
        activated = [_composed(b, f, totals <= degree) for f in functions]
        functions = [sum((w * g for w, g in zip(row, activated, strict=True)), np.zeros(shape)) for row in W]
    log_factorial = np.array([math.lgamma(j + 1) for j in range(rank * degree + 1)])
    log_weight = sum(np.ix_(*(log_factorial[: degree + 1],) * rank)) - log_factorial[totals]
    kept = totals <= degree
    kernel = kernel_taylor(depth, degree)
    weight = np.exp(log_weight[kept]) / kernel[totals[kept]]
    return math.sqrt(float(np.sum(functions[0][kept] ** 2 * weight)))


def _composed(b: Array, f: Array, kept: npt.NDArray[np.bool_]) -> Array:
    """Taylor polynomial of sum_j b_j f^j by Horner's rule."""
    from scipy.signal import convolve

    inside = tuple(slice(0, size) for size in f.shape)
    result = np.zeros_like(f)
    for coefficient in b[::-1]:
        result = np.where(kept, convolve(result, f)[inside], 0.0)
        result[(0,) * f.ndim] += coefficient
    return result
