"""Teachers to recover, and samples of them: easy, hard and dishonest ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.network import TwoLayerNetwork
from fastmom.runtime.validation import as_choice, as_count, as_number, as_rng

Array = npt.NDArray[np.float64]
Generator = np.random.Generator

_CONDITION = 10.0
_ANGLES = {"correlated": math.pi / 4, "clump": 0.3, "opposite": 0.1, "same": 0.1}
_KINDS = ("gaussian", "orthonormal", "conditioned", "balanced", *_ANGLES)
_HIDDEN_BIAS = 0.3
_GROSS = 10.0


def random_teacher(
    n_inputs: int,
    n_hidden: int,
    n_outputs: int = 1,
    *,
    kind: str = "gaussian",
    condition: float | None = None,
    angle: float | None = None,
    output: str = "signed",
    bias: bool = False,
    activation: str | Activation = "relu",
    rng: int | Generator | None = None,
) -> TwoLayerNetwork:
    """Draw a teacher; the rows of W have norm 1, the columns of A norms between 0.5 and 1.5.

    Parameters
    ----------
    n_inputs, n_hidden, n_outputs : int
        d, k and m.
    kind : str
        "gaussian": independent uniform directions. "orthonormal": orthonormal rows, k <= d. "conditioned":
        singular values of W in geometric progression, largest / smallest = `condition` exactly. "correlated":
        every row at `angle` from a common direction. "clump": every row within `angle` of a common direction,
        with output weights of alternating sign that nearly cancel. "opposite", "same": the first two rows at
        `angle` from each other, with opposite or the same output weights. "balanced": two orthonormal bases of one
        subspace of k / 2 dimensions with opposite output weights, so that the second moment vanishes.
    condition : float, optional
        For "conditioned", at least 1; 10 unless given.
    angle : float, optional
        In radians, from 0 to pi; unless given, pi/4 for "correlated", 0.3 for "clump", 0.1 for the others.
    output : str
        "signed", or "positive" for non-negative A.
    bias : bool
        Hidden biases 0.3 N(0, 1) and output biases N(0, 1).
    activation : str or Activation
    rng : None, int or Generator

    Returns
    -------
    TwoLayerNetwork

    Raises
    ------
    ValueError
        For impossible combinations, such as more orthonormal rows than inputs.

    Examples
    --------
    >>> import fastmom as fm
    >>> fm.random_teacher(50, 8, 10, kind="orthonormal", bias=True, rng=0)
    TwoLayerNetwork(50 -> 8 -> 10, relu, hidden and output bias)
    """
    d, k, m = as_count(n_inputs, "n_inputs"), as_count(n_hidden, "n_hidden"), as_count(n_outputs, "n_outputs")
    as_choice(kind, "kind", _KINDS)
    as_choice(output, "output", ("signed", "positive"))
    if output == "positive" and kind in ("clump", "opposite", "balanced"):
        raise ValueError(f"output: the output weights of kind={kind!r} cancel, they cannot all be positive")
    generator, _ = as_rng(rng)
    W = _hidden_weights(kind, k, d, condition, angle, generator)
    A = _output_weights(kind, m, k, generator)
    if output == "positive":
        A = np.abs(A)
    hidden_bias = _HIDDEN_BIAS * generator.standard_normal(k) if bias else None
    output_bias = generator.standard_normal(m) if bias else None
    return TwoLayerNetwork(W, A, hidden_bias, output_bias, activation=activation)


def sample_inputs(n: int, d: int, law: str = "gaussian", rng: int | Generator | None = None) -> Array:
    """Draw inputs.

    Parameters
    ----------
    n, d : int
        Rows and columns.
    law : str
        "gaussian": N(0, I). "mixture": six unit Gaussian clusters, centres from N(0, 4 I) and opposite.
        "hypercube": -1 or 1. "student_t": three degrees of freedom. "uniform": on [0, 1]. "laplace".
        "exponential": Exp(1) - 1. "sparse": N(0, 1) with probability 0.2, else 0. "correlated": Gaussian, the
        eigenvalues of the covariance falling geometrically from 1 to 0.05 in a random basis.
    rng : None, int or Generator

    Returns
    -------
    ndarray (n, d)

    Raises
    ------
    ValueError
        For an unknown law.

    Examples
    --------
    >>> import fastmom as fm
    >>> fm.sample_inputs(1000, 5, "uniform", rng=0).shape
    (1000, 5)
    """
    as_choice(law, "law", _LAWS)
    generator, _ = as_rng(rng)
    return _LAWS[law](generator, as_count(n, "n"), as_count(d, "d"))


def make_samples(
    teacher: TwoLayerNetwork,
    n: int,
    *,
    law: str = "gaussian",
    noise: float = 0.0,
    corruption: float = 0.0,
    corruption_kind: str = "gross",
    rng: int | Generator | None = None,
) -> tuple[Array, Array]:
    """Draw inputs and the teacher's labels for them.

    Parameters
    ----------
    teacher : TwoLayerNetwork
    n : int
        Rows.
    law : str
        Of the inputs, see `sample_inputs`.
    noise : float
        Standard deviation of Gaussian label noise, relative to the RMS of the labels.
    corruption : float
        Fraction of rows with wrong labels, rounded to whole rows.
    corruption_kind : str
        "gross": replaced by Gaussian noise of ten times the labels' RMS. "flip": of the opposite sign.
        "shuffle": passed on in a cycle among the corrupted rows.
    rng : None, int or Generator

    Returns
    -------
    X : ndarray (n, d)
    Y : ndarray (n, m)

    Raises
    ------
    ValueError
        For an unknown law or kind, negative noise, a fraction outside [0, 1].

    Examples
    --------
    >>> import fastmom as fm
    >>> X, Y = fm.make_samples(fm.random_teacher(5, 2, 3, rng=0), 100, noise=0.1, rng=1)
    >>> X.shape, Y.shape
    ((100, 5), (100, 3))
    """
    if not isinstance(teacher, TwoLayerNetwork):
        raise TypeError(f"teacher: expected a TwoLayerNetwork, got {type(teacher).__name__}")
    noise, corruption = as_number(noise, "noise", 0.0), as_number(corruption, "corruption", 0.0, 1.0)
    as_choice(corruption_kind, "corruption_kind", ("gross", "flip", "shuffle"))
    generator, _ = as_rng(rng)
    X = sample_inputs(n, teacher.n_inputs, law, generator)
    Y = teacher.predict(X)
    rms = float(np.sqrt(np.mean(Y * Y)))
    if noise:
        Y += noise * rms * generator.standard_normal(Y.shape)
    rows = generator.permutation(len(Y))[: round(corruption * len(Y))]
    if corruption_kind == "gross":
        Y[rows] = _GROSS * rms * generator.standard_normal((len(rows), Y.shape[1]))
    elif corruption_kind == "flip":
        Y[rows] = -Y[rows]
    else:
        Y[rows] = Y[np.roll(rows, 1)]
    return X, Y


def _hidden_weights(kind: str, k: int, d: int, condition: float | None, angle: float | None, rng: Generator) -> Array:
    if condition is not None and kind != "conditioned":
        raise ValueError(f"condition: only kind='conditioned' has one, got kind={kind!r}")
    if angle is not None and kind not in _ANGLES:
        raise ValueError(f"angle: only {', '.join(_ANGLES)} have one, got kind={kind!r}")
    if kind == "gaussian":
        return _directions(rng, k, d)
    if kind == "orthonormal":
        if k > d:
            raise ValueError(f"n_hidden: at most {d} rows of {d} inputs are orthonormal, got {k}")
        return _orthonormal(rng, d, k).T
    if kind == "balanced":
        if k % 2 or k < 4 or k > 2 * d:
            raise ValueError(f"n_hidden: kind='balanced' needs an even number from 4 to 2 d = {2 * d}, got {k}")
        return _balanced(rng, k // 2, d)
    if kind == "conditioned":
        ratio = as_number(_CONDITION if condition is None else condition, "condition", 1.0)
        return _conditioned(rng, k, d, ratio)
    if d < 2:
        raise ValueError(f"n_inputs: kind={kind!r} needs at least 2 for an angle, got {d}")
    radians = as_number(_ANGLES[kind] if angle is None else angle, "angle", 0.0, math.pi)
    return _angled(kind, rng, k, d, radians)


def _angled(kind: str, rng: Generator, k: int, d: int, angle: float) -> Array:
    if kind in ("opposite", "same"):
        if k < 2:
            raise ValueError(f"n_hidden: kind={kind!r} needs at least 2, got {k}")
        W = _directions(rng, k, d)
        W[1] = _tilt(rng, W[0], np.array([angle]))[0]
        return W
    share = np.ones(k) if kind == "correlated" else np.sqrt(rng.random(k))
    return _tilt(rng, _directions(rng, 1, d)[0], angle * share)


def _output_weights(kind: str, m: int, k: int, rng: Generator) -> Array:
    """Draw columns of random direction, norm uniform on [0.5, 1.5]; those of a clump lie on one line."""
    A = _directions(rng, k, m).T
    if kind == "clump":
        A = A[:, :1] * np.where(np.arange(k) % 2, -1.0, 1.0)
    A *= rng.uniform(0.5, 1.5, k)
    if kind == "balanced":
        A = A[:, :1] * np.where(np.arange(k) < k // 2, 1.0, -1.0)
    if kind in ("opposite", "same"):
        A[:, 1] = -A[:, 0] if kind == "opposite" else A[:, 0]
    return A


def _directions(rng: Generator, k: int, d: int) -> Array:
    rows = rng.standard_normal((k, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _orthonormal(rng: Generator, d: int, r: int) -> Array:
    """Draw a matrix (d, r) with orthonormal columns, uniformly."""
    q, upper = np.linalg.qr(rng.standard_normal((d, r)))
    columns: Array = q * np.sign(np.diag(upper))
    return columns


def _balanced(rng: Generator, r: int, d: int) -> Array:
    """Draw an orthonormal basis of r dimensions, and the same turned by 45 degrees in each plane of neighbours."""
    basis = _orthonormal(rng, d, r).T
    turned = basis.copy()
    for i in range(r - 1):
        turned[[i, i + 1]] = np.array([[1.0, 1.0], [-1.0, 1.0]]) @ turned[[i, i + 1]] / math.sqrt(2)
    return np.vstack([basis, turned])


def _tilt(rng: Generator, centre: Array, angles: Array) -> Array:
    """Draw unit rows at the given angles from a unit vector."""
    across = _directions(rng, len(angles), len(centre))
    across -= np.outer(across @ centre, centre)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    rows: Array = np.outer(np.cos(angles), centre) + np.sin(angles)[:, np.newaxis] * across
    return rows


def _conditioned(rng: Generator, k: int, d: int, condition: float) -> Array:
    """Prescribe the singular values, then rotate pairs of rows until each has norm 1.

    Rotations from the left keep the singular values, and the squared norms, which sum to k, can always be
    levelled this way (Bendel and Mickey 1978; Davies and Higham 2000).
    """
    r = min(k, d)
    if r == 1 and condition != 1.0:
        raise ValueError(f"condition: a matrix of rank one has condition 1, got {condition:g}")
    values = condition ** -np.linspace(0.0, 1.0, r)
    values *= math.sqrt(k) / np.linalg.norm(values)
    W: Array = (_orthonormal(rng, k, r) * values) @ _orthonormal(rng, d, r).T
    open_rows = list(range(k))
    while len(open_rows) > 1:
        squares = np.sum(W[open_rows] ** 2, axis=1)
        i, j = open_rows[int(squares.argmin())], open_rows[int(squares.argmax())]
        if i == j:
            break
        low, high, across = W[i] @ W[i], W[j] @ W[j], W[i] @ W[j]
        # tangent of the rotation after which row i has norm 1: (high - 1) t^2 + 2 across t + (low - 1) = 0
        root = across + math.copysign(math.sqrt(max(0.0, across**2 + (1.0 - low) * (high - 1.0))), across)
        t = (1.0 - low) / root if root else 0.0
        W[[i, j]] = np.array([[1.0, t], [-t, 1.0]]) @ W[[i, j]] / math.hypot(1.0, t)
        open_rows.remove(i)
    return W


def _mixture(rng: Generator, n: int, d: int) -> Array:
    centres = 2.0 * rng.standard_normal((3, d))
    return rng.standard_normal((n, d)) + np.vstack([centres, -centres])[rng.integers(6, size=n)]


def _correlated(rng: Generator, n: int, d: int) -> Array:
    rotation = _orthonormal(rng, d, d)
    inputs: Array = (rng.standard_normal((n, d)) * np.sqrt(np.geomspace(1.0, 0.05, d))) @ rotation.T
    return inputs


_LAWS: dict[str, Callable[[Generator, int, int], Array]] = {
    "gaussian": lambda rng, n, d: rng.standard_normal((n, d)),
    "mixture": _mixture,
    "hypercube": lambda rng, n, d: rng.choice(np.array([-1.0, 1.0]), (n, d)),
    "student_t": lambda rng, n, d: rng.standard_t(3.0, (n, d)),
    "uniform": lambda rng, n, d: rng.random((n, d)),
    "laplace": lambda rng, n, d: rng.laplace(size=(n, d)),
    "exponential": lambda rng, n, d: rng.standard_exponential((n, d)) - 1.0,
    "sparse": lambda rng, n, d: rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.2),
    "correlated": _correlated,
}
