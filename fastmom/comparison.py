"""How close a student is to its teacher, up to what no data can tell: order and scale of the neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from fastmom.network import TwoLayerNetwork, UnitForm, unit_form
from fastmom.result import FitResult, Model

Array = npt.NDArray[np.float64]

_PROBE_ROWS, _PROBE_SEED = 10_000, 0
_NEGLIGIBLE = 1e-8  # output weights, relative to the teacher's largest, that a spare neuron may have


@dataclass(frozen=True, eq=False)
class Comparison:
    """Errors of a student against its teacher.

    Attributes
    ----------
    max_error : float
        The larger of the hidden and the output error.
    hidden_error : float
        Largest ``||V'_i - V_i||`` over the teacher's neurons, ``V_i = (w_i, b_i) / ||w_i||``.
    output_error : float
        Largest of ``||A'_i - A_i|| / ||A_i||`` over the teacher's neurons, for ``||w_i|| = 1``, and of the
        errors of the output bias and of the linear part relative to max(1, norm).
    function_error : float
        RMS of the difference of the outputs, relative to the RMS of the teacher's outputs about their mean.
    assignment : ndarray (k,)
        Which neuron of the student is each neuron of the teacher, -1 where none is.
    neuron_errors : ndarray (k,)
        The larger of hidden and output error of each neuron of the teacher; infinite where none matches, zero
        for a neuron without effect.
    """

    max_error: float
    hidden_error: float
    output_error: float
    function_error: float
    assignment: npt.NDArray[np.intp]
    neuron_errors: Array


def compare(student: Model, teacher: TwoLayerNetwork, X: npt.ArrayLike | None = None) -> Comparison:
    """Compare a student with its teacher, neuron by neuron and as functions.

    Neurons are brought to ``||w|| = 1`` with the scale in A, equal ones merged and those without effect left
    out, then matched to minimise the total distance. Where either network has a linear part, a neuron is also
    compared with its mirror image: ``f(t) - f(-t)`` is linear, so the linear part hides the sign. Neurons the
    student lacks, spare ones with an effect, and a different activation make errors infinite.

    Parameters
    ----------
    student : TwoLayerNetwork, FitResult, or anything with predict
        Without a network, only the function error is defined and the others are NaN. A fit that recovered
        nothing has infinite errors.
    teacher : TwoLayerNetwork
        The truth.
    X : array_like (n, d), optional
        Where to compare the functions; 10,000 standard Gaussian rows from a fixed seed unless given.

    Returns
    -------
    Comparison
        Its neuron indices refer to the networks as given.

    Raises
    ------
    ValueError
        For different numbers of inputs or outputs.
    TypeError
        For a teacher that is no network, or a student that cannot predict.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.TwoLayerNetwork([[1.0, 0.0], [0.0, 2.0]], [1.0, 1.0])
    >>> student = fm.TwoLayerNetwork([[0.0, 1.0], [4.0, 0.0]], [2.0, 0.25])
    >>> fm.compare(student, teacher).assignment
    array([1, 0])
    """
    if not isinstance(teacher, TwoLayerNetwork):
        raise TypeError(f"teacher: expected a TwoLayerNetwork, got {type(teacher).__name__}")
    k = teacher.n_hidden
    network, model = _parts(student)
    if network is not None:
        _require_same_shape(network, teacher)
    if model is None:
        nothing = np.full(k, -1, dtype=np.intp)
        return Comparison(math.inf, math.inf, math.inf, math.inf, nothing, np.full(k, math.inf))
    function = _function_error(model, teacher, X)
    if network is None:
        nan = math.nan
        return Comparison(nan, nan, nan, function, np.full(k, -1, dtype=np.intp), np.full(k, nan))
    hidden, output, assignment, neurons = _parameter_errors(network, teacher)
    return Comparison(max(hidden, output), hidden, output, function, assignment, neurons)


def _parts(student: Any) -> tuple[TwoLayerNetwork | None, Model | None]:
    if isinstance(student, FitResult):
        return student.network, student.model
    if isinstance(student, TwoLayerNetwork):
        return student, student
    if not hasattr(student, "predict"):
        raise TypeError(f"student: expected a network, a FitResult or a model, got {type(student).__name__}")
    return None, student


def _require_same_shape(student: TwoLayerNetwork, teacher: TwoLayerNetwork) -> None:
    shapes = [f"{net.n_inputs} inputs and {net.n_outputs} outputs" for net in (student, teacher)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"student: has {shapes[0]}, the teacher {shapes[1]}; they must agree")


def _function_error(model: Model, teacher: TwoLayerNetwork, X: Any) -> float:
    if X is None:
        X = np.random.default_rng(_PROBE_SEED).standard_normal((_PROBE_ROWS, teacher.n_inputs))
    truth = teacher.predict(X)
    found = np.asarray(model.predict(X), dtype=np.float64)
    if found.ndim == 1:
        found = found[:, np.newaxis]
    if found.shape != truth.shape:
        raise ValueError(f"student: predicts shape {found.shape}, the teacher {truth.shape}; they must agree")
    difference = float(np.linalg.norm(found - truth))
    spread = float(np.linalg.norm(truth - truth.mean(axis=0)))
    if spread == 0.0:
        return 0.0 if difference == 0.0 else math.inf
    return difference / spread


def _parameter_errors(
    student: TwoLayerNetwork, teacher: TwoLayerNetwork
) -> tuple[float, float, npt.NDArray[np.intp], Array]:
    """Hidden error, output error, assignment and errors of the teacher's neurons."""
    ours, theirs = unit_form(student), unit_form(teacher)
    same_function = student.activation == teacher.activation
    mirror = same_function and teacher.activation.odd_linear and _has_linear(student, teacher)
    hidden, signs = _hidden_distances(ours.V, theirs.V, mirror)
    output = cdist(theirs.A, ours.A) / np.linalg.norm(theirs.A, axis=1, keepdims=True)
    # distances saturate: an exact match then always beats two half-good ones
    rows, columns = linear_sum_assignment(hidden / (1.0 + hidden) + output / (1.0 + output))
    assignment = np.full(teacher.n_hidden, -1, dtype=np.intp)
    errors = np.zeros(teacher.n_hidden)
    for members in theirs.members:
        errors[members] = math.inf
    for i, j in zip(rows, columns, strict=True):
        assignment[theirs.members[i]] = ours.members[j][0]
        errors[theirs.members[i]] = max(hidden[i, j], output[i, j])
    complete = len(rows) == len(theirs.V)
    hidden_error = float(hidden[rows, columns].max(initial=0.0)) if complete else math.inf
    output_error = float(output[rows, columns].max(initial=0.0)) if complete and same_function else math.inf
    spare = np.delete(ours.A, columns, axis=0)
    flipped = columns[signs[rows, columns] < 0]
    # a flipped neuron leaves 2 c_1 A (w, b) in the linear part and the output bias
    moved = 2.0 * teacher.activation.coefficient(1) * ours.A[flipped].T @ ours.V[flipped]
    affine_error = _affine_error(_affine(student, ours) + moved, _affine(teacher, theirs))
    return hidden_error, max(output_error, _spare_error(spare, theirs.A), affine_error), assignment, errors


def _has_linear(*networks: TwoLayerNetwork) -> bool:
    return any(network.linear is not None for network in networks)


def _hidden_distances(student: Array, teacher: Array, mirror: bool) -> tuple[Array, Array]:
    """Distances of all pairs (teacher, student) and the sign of the student's neuron that attains them."""
    plain = cdist(teacher, student)
    if not mirror:
        return plain, np.ones_like(plain)
    flipped = cdist(teacher, -student)
    return np.minimum(plain, flipped), np.where(flipped < plain, -1.0, 1.0)


def _spare_error(spare: Array, teacher: Array) -> float:
    """Output weights of the student's spare neurons, relative to the teacher's largest."""
    scale = np.linalg.norm(teacher, axis=1).max(initial=0.0) or 1.0
    error = float(np.linalg.norm(spare, axis=1).max(initial=0.0) / scale)
    return error if error <= _NEGLIGIBLE else math.inf


def _affine(network: TwoLayerNetwork, unit: UnitForm) -> Array:
    """Linear part and output bias (m, d + 1), zero where absent."""
    shape = (network.n_outputs, network.n_inputs)
    linear = np.zeros(shape) if network.linear is None else network.linear
    return np.column_stack([linear, np.zeros(shape[0]) if unit.output_bias is None else unit.output_bias])


def _affine_error(student: Array, teacher: Array) -> float:
    """Error of the linear part and of the output bias, each relative to max(1, norm)."""
    parts = ((student[:, :-1], teacher[:, :-1]), (student[:, -1], teacher[:, -1]))
    return max(float(np.linalg.norm(s - t) / max(1.0, float(np.linalg.norm(t)))) for s, t in parts)
