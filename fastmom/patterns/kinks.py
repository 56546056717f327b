"""What samples of a network of rectifiers without hidden biases determine: its kinks and its linear part.

As max(t, 0) = (t + |t|) / 2, every such network with one output is

    F(x) = constant + linear.x + sum_i signs_i |b_i.x|,

where no two b_i are parallel. Functions |b.x| of different lines b are linearly independent, so F determines the linear
part and every (sign_i, +-b_i), and nothing else: which side of a kink is the active one of a rectifier is a question of
how the linear part is shared out.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from fastmom.network import TwoLayerNetwork
from fastmom.runtime.validation import as_matrix

Array = npt.NDArray[np.float64]

_PARALLEL = 1e-12  # unit vectors closer than this are one
_ROUNDING = 8 * np.finfo(np.float64).eps  # what is left of coefficients that cancel
_ENUMERATED = 12  # neurons up to which all ways to share out the linear part are tried
_FIRST_ORDER = 1e-5  # relative errors of weights up to which the distance of two functions is taken to first order


@dataclass(frozen=True, eq=False)
class KinkNetwork:
    """The function ``constant + linear.x + sum_i signs_i |B_i.x|``.

    Attributes
    ----------
    linear : ndarray (d,)
    B : ndarray (k, d)
        Kinks, each up to sign, with the size of the output weights in them.
    signs : ndarray (k,)
        1 or -1.
    constant : float

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.patterns.kinks import kinks_of
    >>> teacher = fm.TwoLayerNetwork([[2.0, 0.0], [-1.0, 0.0], [0.0, 3.0]], [1.0, 1.0, -2.0])
    >>> kinks = kinks_of(teacher)  # the first two share their kink
    >>> kinks.B, kinks.signs, kinks.linear
    (array([[1.5, 0. ],
           [0. , 3. ]]), array([ 1., -1.]), array([ 0.5, -3. ]))
    """

    linear: Array
    B: Array
    signs: Array
    constant: float = 0.0

    @property
    def n_kinks(self) -> int:
        """Number of kinks k."""
        return len(self.B)

    def predict(self, X: Any) -> Array:
        """Return the outputs (n, 1) for X (n, d)."""
        rows = np.asarray(as_matrix(X), dtype=np.float64)
        return (self.constant + rows @ self.linear + np.abs(rows @ self.B.T) @ self.signs)[:, None]


def kinks_of(network: TwoLayerNetwork) -> KinkNetwork:
    """Bring a network of one output without hidden biases to its kinks.

    Parallel neurons, w and c w of any sign of c, are one kink; those that cancel there are linear, and gone.

    Raises
    ------
    ValueError
        For several outputs, a hidden bias, or an activation other than (leaky) ReLU and abs.
    """
    f = network.activation
    if network.n_outputs > 1 or (network.hidden_bias is not None and network.hidden_bias.any()):
        raise ValueError("network: kinks are those of one output without hidden biases")
    if not (f.homogeneous and f.odd_linear) and f.name != "abs":
        raise ValueError(f"network: expected the activation relu, leaky_relu or abs, got {f}")
    at_one, at_minus_one = (float(value) for value in f(np.array([1.0, -1.0])))
    weighted = network.A[0][:, None] * network.W
    linear = (at_one - at_minus_one) / 2 * weighted.sum(axis=0)
    if network.linear is not None:
        linear = linear + network.linear[0]
    sizes = np.linalg.norm(network.W, axis=1)
    live = sizes > 0
    units = network.W[live] / sizes[live, None]
    B, signs = _merged(units, (at_one + at_minus_one) / 2 * network.A[0][live] * sizes[live])
    constant = 0.0 if network.output_bias is None else float(network.output_bias[0])
    return KinkNetwork(linear, B, signs, constant)


def _merged(units: Array, coefficients: Array) -> tuple[Array, Array]:
    """Kinks and signs of ``sum_i coefficients_i |units_i.x|``, parallel units merged, in their order."""
    free = np.abs(coefficients) > 0
    B, signs = [], []
    for i, unit in enumerate(units):
        if not free[i]:
            continue
        apart = np.minimum(np.abs(units - unit).max(axis=1), np.abs(units + unit).max(axis=1))
        group = free & (apart <= _PARALLEL)
        free &= ~group
        total = float(coefficients[group].sum())
        if abs(total) > _ROUNDING * np.abs(coefficients[group]).sum():
            B.append(abs(total) * unit)
            signs.append(math.copysign(1.0, total))
    return np.array(B).reshape(-1, units.shape[1]), np.array(signs)


def relu_network(kinks: KinkNetwork, tolerance: float = 1e-10) -> TwoLayerNetwork:
    """The network of k ReLUs that has these kinks, and a linear part if no choice of active sides explains it.

    With w_i = e_i 2 b_i, the ReLUs leave ``linear - sum_i e_i signs_i b_i``: the e in {-1, 1}^k with the least is
    taken, by enumeration up to 12 neurons, beyond by least squares and single exchanges. It is unique where the b_i are
    linearly independent.

    Parameters
    ----------
    kinks : KinkNetwork
    tolerance : float
        Leftover, relative to the size of all weights, that counts as none.

    Returns
    -------
    TwoLayerNetwork
        Rows of W have norm 1.
    """
    sides = active_sides(kinks)
    weighted = kinks.signs[:, None] * kinks.B
    leftover = kinks.linear - sides @ weighted
    scale = math.sqrt(float(np.sum(kinks.linear**2) + np.sum(kinks.B**2)))
    linear = leftover[None] if np.linalg.norm(leftover) > tolerance * scale else None
    sizes = np.linalg.norm(kinks.B, axis=1)
    bias = [kinks.constant] if kinks.constant else None
    W = sides[:, None] * kinks.B / sizes[:, None]
    return TwoLayerNetwork(W, (2 * kinks.signs * sizes)[None], output_bias=bias, linear=linear)


def active_sides(kinks: KinkNetwork) -> Array:
    """The signs e (k,) for which ``sum_i e_i signs_i b_i`` is nearest to the linear part; see `relu_network`."""
    k = kinks.n_kinks
    if k == 0:
        return np.zeros(0)
    # coordinates of the span say the same as d inputs, with fewer numbers
    basis = np.linalg.qr((kinks.signs[:, None] * kinks.B).T)[0]
    vectors, target = (kinks.signs[:, None] * kinks.B) @ basis, kinks.linear @ basis
    if k <= _ENUMERATED:
        choices = np.array(list(itertools.product([1.0, -1.0], repeat=k)))
        return np.asarray(choices[np.argmin(np.linalg.norm(choices @ vectors - target, axis=1))])
    sides = np.where(np.linalg.lstsq(vectors.T, target, rcond=None)[0] < 0, -1.0, 1.0)
    sizes = np.sum(vectors**2, axis=1)
    for _ in range(10 * k):
        # |r + 2 e_i c_i|^2 - |r|^2 for the leftover r if side i is exchanged
        gain = 4 * (sides * (vectors @ (target - sides @ vectors)) + sizes)
        worst = int(np.argmin(gain))
        if gain[worst] >= 0:
            break
        sides[worst] = -sides[worst]
    return sides


class KinkMatch(NamedTuple):
    """How two sets of kinks compare.

    Attributes
    ----------
    error : float
        Largest ``|b'_i -+ b_i| / |b_i|`` over the reference's kinks; infinite if there are not as many, or one has no
        counterpart of its sign.
    linear_error : float
        ``|linear' - linear|``, relative to the size of all the reference's weights.
    assignment : ndarray (k,)
        Which kink is each of the reference's, -1 where none is.
    flips : ndarray (k,)
        -1 where the matched kink points the other way, else 1.
    """

    error: float
    linear_error: float
    assignment: npt.NDArray[np.intp]
    flips: Array


def match_kinks(found: KinkNetwork, reference: KinkNetwork) -> KinkMatch:
    """Match kinks up to their order and the sign of each b_i, to the least total distance."""
    k = reference.n_kinks
    difference = reference.B[:, None, :] - found.B[None]
    along, across = (np.linalg.norm(D, axis=2) for D in (difference, reference.B[:, None, :] + found.B[None]))
    sizes = np.linalg.norm(reference.B, axis=1)
    errors = np.minimum(along, across) / sizes[:, None]
    same = reference.signs[:, None] == found.signs
    # distances saturate: an exact match always beats two half-good ones
    rows, columns = linear_sum_assignment(np.where(same, errors / (1 + errors), 2.0))
    errors = np.where(same, errors, np.inf)
    assignment, flips = np.full(k, -1, dtype=np.intp), np.ones(k)
    real = np.isfinite(errors[rows, columns])
    assignment[rows[real]] = columns[real]
    flips[rows] = np.where(across[rows, columns] < along[rows, columns], -1.0, 1.0)
    complete = k == found.n_kinks and bool(real.all())
    error = float(errors[rows, columns].max(initial=0.0)) if complete else math.inf
    scale = math.sqrt(float(np.sum(reference.linear**2) + np.sum(sizes**2))) or 1.0
    linear_error = float(np.linalg.norm(found.linear - reference.linear)) / scale
    return KinkMatch(error, linear_error, assignment, flips)


def function_distance(found: KinkNetwork, reference: KinkNetwork) -> float:
    """L2 distance of the functions for standard Gaussian inputs, relative to the reference's spread about its mean.

    From ``E|u.x| |w.x| = 2 |u| |w| (sqrt(1 - r^2) + r asin r) / pi``, r the cosine, with an absolute accuracy of 1e-8;
    where the weights agree to 1e-5, to first order in their differences, with all digits.
    """
    match = match_kinks(found, reference)
    if max(match.error, match.linear_error) < _FIRST_ORDER:
        square = _first_order(found, reference, match)
    else:
        B, signs = np.vstack([found.B, reference.B]), np.append(found.signs, -reference.signs)
        square = mean_square(
            KinkNetwork(found.linear - reference.linear, B, signs, found.constant - reference.constant)
        )
    spread = mean_square(reference) - _mean(reference) ** 2
    if spread <= 0:
        return 0.0 if square <= 0 else math.inf
    return math.sqrt(max(square, 0.0) / spread)


def _first_order(found: KinkNetwork, reference: KinkNetwork, match: KinkMatch) -> float:
    """E of the square of ``dc + dv.x + sum_i signs_i sgn(b_i.x) db_i.x``."""
    change = match.flips[:, None] * found.B[match.assignment] - reference.B
    unknowns = np.vstack([found.linear - reference.linear, reference.signs[:, None] * change])
    constant = found.constant - reference.constant
    square = float(np.sum(unknowns * apply_pattern_gram(reference.B, unknowns)))
    units = reference.B / np.linalg.norm(reference.B, axis=1, keepdims=True)
    mean = math.sqrt(2 / math.pi) * float(np.sum(unknowns[1:] * units))
    return square + 2 * constant * mean + constant**2


def mean_square(kinks: KinkNetwork) -> float:
    """``E F(x)^2`` for standard Gaussian inputs."""
    sizes = np.linalg.norm(kinks.B, axis=1)
    units = kinks.B / sizes[:, None]
    cosines = np.clip(units @ units.T, -1.0, 1.0)
    products = 2 / math.pi * (np.sqrt(1 - cosines**2) + cosines * np.arcsin(cosines))
    weights = kinks.signs * sizes
    even = float(weights @ products @ weights) + 2 * kinks.constant * (_mean(kinks) - kinks.constant)
    return float(kinks.linear @ kinks.linear) + even + kinks.constant**2


def _mean(kinks: KinkNetwork) -> float:
    return kinks.constant + math.sqrt(2 / math.pi) * float(kinks.signs @ np.linalg.norm(kinks.B, axis=1))


def apply_pattern_gram(B: Array, unknowns: Array) -> Array:
    """Product of ``E[g_i g_j x x^T]`` with unknowns (1 + k, d), for g = (1, sgn(b_1.x), .., sgn(b_k.x)).

    For unit u, w at the angle t, ``E[sgn(u.x) sgn(w.x) x x^T] = (1 - 2t/pi) I + 2/pi (u n_wu^T + w n_uw^T)`` with
    ``n_uw = (u - cos t w) / sin t``, the second term zero for t = 0. The linear part correlates with none.
    """
    U, P = B / np.linalg.norm(B, axis=1, keepdims=True), unknowns[1:]
    cosines = np.clip(U @ U.T, -1.0, 1.0)
    sines = np.sqrt(1 - cosines**2)
    inverse = np.divide(2 / math.pi, sines, out=np.zeros_like(sines), where=sines > _PARALLEL)
    np.fill_diagonal(inverse, 0.0)
    products = U @ P.T  # [i, j]: u_i.p_j
    own = np.diag(products)
    weights = np.sum(inverse * (own - cosines * products), axis=1)  # of u_i: n_ji.p_j over all j
    out = np.empty_like(unknowns)
    out[0] = unknowns[0]
    out[1:] = (1 - 2 / math.pi * np.arccos(cosines)) @ P
    out[1:] += weights[:, None] * U + (inverse * (products - cosines * own)) @ U
    return out
