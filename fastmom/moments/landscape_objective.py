"""The objective without bad minima: Ge, Lee and Ma 2017, arXiv 1711.00501.

For y = sum_i a_i f(b_i.x), x standard Gaussian, |b_i| = 1, a_i > 0, with c_l = E[f(z) He_l(z)] the moments are
T_l = E[y S_l(x)] = c_l sum_i a_i b_i^(x)l. With phi = S_4(x)(v, v, w, w) / 2, varphi = S_4(x)(v, v, v, v) / 24 and
s = sign c_4 the objective is

    G(B) = s E[y sum_(j != k) phi(b_j, b_k, x)] - mu s E[y sum_j varphi(b_j, x)] + lam sum_j (b_j.P b_j - 1)^2.

P = I for orthonormal b_i, where all local minima are these rows up to order, sign and a length near one. P = |T_2| for
independent ones (G'), where minima are dual to them. One row alone, mu = 1, is the objective F, whose minima are single
rows. The cross term of phi is -2 (v.x)(w.x)(v.w): it makes phi the Hermite contraction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation, resolve
from fastmom.moments.hermite import hermite_residual
from fastmom.moments.quartic_forms import PopulationForm, QuarticForm, SampledForm, TensorForm
from fastmom.moments.tensor_action import as_tensor
from fastmom.network import TwoLayerNetwork
from fastmom.runtime.validation import as_labels, as_matrix, as_number, require_finite

Array = npt.NDArray[np.float64]


def require_order_four(activation: str | Activation) -> Activation:
    """Refuse activations whose coefficient of order two or four vanishes, naming the orders that do work.

    Raises
    ------
    ValueError
        For such an activation, e.g. tanh, sigmoid, erf, relu^2.
    """
    f = resolve(activation)
    if 2 in f.moment_orders and 4 in f.moment_orders:
        return f
    orders = [order for order in f.moment_orders if order <= 3]
    missing = " and ".join(str(order) for order in (2, 4) if order not in f.moment_orders)
    raise ValueError(
        f"activation: {f} has no moment of order {missing}, which the objective G needs; its neurons show in orders "
        f"{' and '.join(map(str, orders))}: use the order-3 route of learn_landscape, optimizer='orthogonal'"
    )


class LandscapeObjective:
    """G, G' or F with gradient and Hessian-vector product; see `from_samples`, `from_tensor`, `from_network`.

    Parameters
    ----------
    form : QuarticForm
        Where T_4 comes from.
    sign : float
        s, the sign of c_4.
    mu, lam : float
        Weights of the diagonal term and of the penalty.
    penalty : ndarray (d, d), optional
        P; the identity unless given.

    References
    ----------
    .. [1] R. Ge, J. D. Lee, T. Ma, "Learning one-hidden-layer neural networks with landscape design", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmom as fm
    >>> from fastmom.moments.landscape_objective import LandscapeObjective
    >>> teacher = fm.random_teacher(3, 3, kind="orthonormal", output="positive", rng=0)
    >>> G = LandscapeObjective.from_network(teacher, mu=1e-6)
    >>> bool(np.abs(G.gradient(teacher.W)).max() < 1e-5)  # the teacher's own rows are a minimum
    True
    """

    def __init__(
        self, form: QuarticForm, sign: float, *, mu: float = 1.0, lam: float = 1.0, penalty: Array | None = None
    ) -> None:
        self.mu, self.lam = as_number(mu, "mu", 0.0), as_number(lam, "lam", 0.0)
        self._form, self._penalty = form, penalty
        self._weights = sign / 2, -sign * self.mu / 24

    @classmethod
    def from_samples(
        cls,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        activation: str | Activation = "relu",
        *,
        mu: float = 1.0,
        lam: float = 1.0,
        general: bool = False,
        residual: bool = True,
        metric: npt.ArrayLike | None = None,
    ) -> LandscapeObjective:
        """Empirical objective: every evaluation is one fused pass over the rows.

        Parameters
        ----------
        X, y : array_like (n, d), (n,)
            Standard Gaussian inputs, labels of one output.
        activation : str or Activation
            Of the network; gives the signs of c_2 and c_4.
        mu, lam : float
            See the class.
        general : bool
            G': penalty with the second moment instead of the identity.
        residual : bool
            Take what `hermite_residual` leaves of the labels: the same expectation, 30 to 500 times less variance.
        metric : array_like (d, d), optional
            Wh^T Wh where X are whitened inputs X Wh.

        Raises
        ------
        ValueError, TypeError
            For invalid samples, or an activation without moments of order two and four.
        """
        f = require_order_four(activation)
        inputs = np.ascontiguousarray(as_matrix(X), dtype=np.float64)
        labels = np.ascontiguousarray(as_labels(y, len(inputs), "y"), dtype=np.float64)
        require_finite(inputs, "X")
        require_finite(labels, "y")
        if labels.shape[1] != 1:
            raise ValueError(f"y: expected one output, got {labels.shape[1]}; pass a combination of them")
        M = np.eye(inputs.shape[1]) if metric is None else np.asarray(metric, dtype=np.float64)
        penalty, weights = None, labels[:, 0]
        if general or residual:
            left, fit = hermite_residual(inputs, weights)
            weights = left if residual else weights
            penalty = np.sign(f.coefficient(2)) * 2 * fit.quadratic[0] if general else None
        form = SampledForm(inputs, np.ascontiguousarray(weights), M)
        return cls(form, float(np.sign(f.coefficient(4))), mu=mu, lam=lam, penalty=penalty)

    @classmethod
    def from_tensor(
        cls, T: npt.ArrayLike, *, sign: float = 1.0, mu: float = 1.0, lam: float = 1.0, penalty: Array | None = None
    ) -> LandscapeObjective:
        """Objective of a tensor T_4 (d, d, d, d), e.g. of `small_tensor`: no samples are touched.

        Raises
        ------
        ValueError, TypeError
            For a tensor of another order, or not symmetric.
        """
        return cls(TensorForm(as_tensor(T, (4,))), sign, mu=mu, lam=lam, penalty=penalty)

    @classmethod
    def from_network(
        cls, teacher: TwoLayerNetwork, *, mu: float = 1.0, lam: float = 1.0, general: bool = False
    ) -> LandscapeObjective:
        """Population objective of a teacher with one output, in closed form by its Hermite coefficients.

        Raises
        ------
        ValueError
            For several outputs, or rows that have no unit norm where scale cannot move to the output weights.
        """
        f = require_order_four(teacher.activation)
        a, rows = unit_neurons(teacher)
        sign = float(np.sign(f.coefficient(4)))
        penalty = abs(f.coefficient(2)) * (rows.T * a) @ rows if general else None
        return cls(PopulationForm(f.coefficient(4) * a, rows), sign, mu=mu, lam=lam, penalty=penalty)

    def value(self, B: Array) -> float:
        """Value at rows B (m, d)."""
        return self.value_and_gradient(B)[0]

    def gradient(self, B: Array) -> Array:
        """Gradient (m, d)."""
        return self.value_and_gradient(B)[1]

    def value_and_gradient(self, B: Array) -> tuple[float, Array]:
        """Both, in one pass."""
        value, gradient = self._form.value_and_gradient(B, *self._weights)
        PB = self._penalised(B)
        excess = np.einsum("ja,ja->j", B, PB) - 1
        return value + self.lam * float(excess @ excess), gradient + 4 * self.lam * excess[:, None] * PB

    def product(self, B: Array, D: Array) -> Array:
        """Second derivative at B along D (m, d)."""
        PB, PD = self._penalised(B), self._penalised(D)
        excess, change = np.einsum("ja,ja->j", B, PB) - 1, 2 * np.einsum("ja,ja->j", B, PD)
        curved = 4 * self.lam * (change[:, None] * PB + excess[:, None] * PD)
        return np.asarray(self._form.product(B, D, *self._weights) + curved)

    def _penalised(self, B: Array) -> Array:
        return B if self._penalty is None else B @ self._penalty


def unit_neurons(teacher: TwoLayerNetwork) -> tuple[Array, Array]:
    """Output weights (k,) and unit rows (k, d) of a network with one output and no biases.

    Raises
    ------
    ValueError
        If the network is no such network.
    """
    if teacher.n_outputs != 1 or teacher.hidden_bias is not None or teacher.linear is not None:
        raise ValueError("teacher: expected one output, no hidden bias and no linear part; moments show no other kind")
    length = np.linalg.norm(teacher.W, axis=1)
    degree = teacher.activation.degree
    if degree is None and not np.allclose(length, 1.0, atol=1e-9):
        raise ValueError(
            f"teacher: rows of norm {length.min():.3g} to {length.max():.3g}; {teacher.activation} needs 1"
        )
    return teacher.A[0] * length ** (degree or 0.0), teacher.W / length[:, None]


def population_risk(student: TwoLayerNetwork, teacher: TwoLayerNetwork, max_order: int = 40) -> Array:
    """Population risk E (student - teacher)^2, order by order (theorem 2.1 of Ge, Lee and Ma).

    Squared loss decomposes tensors of all orders at once: with normalised coefficients f_l = c_l / sqrt(l!),

        E (a.f(Bx) - a*.f(B*x))^2 = sum_l f_l^2 | sum_i a_i b_i^(x)l - sum_i a*_i b*_i^(x)l |^2.

    Parameters
    ----------
    student, teacher : TwoLayerNetwork
        One output, the same activation, rows of unit norm where scale cannot move to the output weights.
    max_order : int
        Terms beyond are left out; of rectifiers they decay like l^(-5/2).

    Returns
    -------
    ndarray (max_order + 1,)
        Term of each order; the risk is their sum.

    Raises
    ------
    ValueError
        For networks of another kind.

    Examples
    --------
    >>> import fastmom as fm
    >>> from fastmom.moments.landscape_objective import population_risk
    >>> teacher = fm.random_teacher(4, 2, rng=0)
    >>> float(population_risk(teacher, teacher).sum())
    0.0
    """
    if str(student.activation) != str(teacher.activation):
        raise ValueError(f"student: has activation {student.activation}, the teacher {teacher.activation}")
    (a, B), (true_a, true_B) = unit_neurons(student), unit_neurons(teacher)
    weights, rows = np.concatenate([a, -true_a]), np.vstack([B, true_B])
    cosines = rows @ rows.T
    power, terms = np.ones_like(cosines), np.empty(max_order + 1)
    squared_factorial = 1.0
    for order in range(max_order + 1):
        squared_factorial *= max(1, order)
        coefficient = teacher.activation.coefficient(order) ** 2 / squared_factorial
        terms[order] = coefficient * max(0.0, float(weights @ power @ weights))
        power = power * cosines
    return terms
