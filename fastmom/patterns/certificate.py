"""What may be claimed of a recovered network: the certificate, and the search for rows that settle a doubt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastmom.patterns.model import Model, Verification
from fastmom.patterns.rare import linear_programme
from fastmom.patterns.sample import LABEL_RANK, Sample
from fastmom.patterns.snap import CORRELATION, Deflation, random_starts
from fastmom.patterns.unit_systems import UnitTest, neuron_functions
from fastmom.result import Certificate, Unidentified
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

EXACT = 1e-11  # relative RMS residual of every output over all rows
EXACT_ROW = 1e-10  # largest residual of one row, relative to its label and what the weights make of its inputs
NEURON = 1e-9  # 1 - correlation of a neuron with the label space
RESOLVED = 2e-14  # residual above which what it hides is worth a word
FEW_ROWS = 3  # distinct rows for each input and neuron; with more, other patterns do not fit by chance
VERY_FEW_ROWS = 2  # with fewer, a search is no evidence
LATTICE = 33  # distinct rows of a small lattice
TURNABLE = 1e-8  # relative distance of a linear function from the label space
SAME_FUNCTION = 1e-9  # distance of normalised functions
RIVAL = 1e-10  # 1 - correlation of the next function with the same active rows


def reproduces(check: Verification) -> bool:
    """Whether the network gives the labels of all rows to round-off."""
    return check.worst_output <= EXACT and check.worst_row <= EXACT_ROW


def certify(rows: Rows, model: Model, check: Verification, sample: Sample, tests: list[UnitTest]) -> Certificate:
    """Certificate of an exact recovery.

    Parameters
    ----------
    rows : Rows
        All rows.
    model : Model
        The recovered network.
    check : Verification
        Its residual and activity over all rows.
    sample : Sample
        Rows on which the neurons were tested.
    tests : list of UnitTest
        One for each neuron.

    Returns
    -------
    Certificate
        Certified if all labels are reproduced and every neuron is a function of the label space.
    """
    correlation = np.array([test.correlation for test in tests])
    reason = ""
    if not reproduces(check):
        reason = f"the network does not reproduce the labels: relative residual {check.residual:.1e} over all rows"
    elif len(tests) and correlation.min() < 1 - NEURON:
        worst = int(correlation.argmin())
        reason = f"neuron {worst} correlates with the label space only to {correlation[worst]:.9f}"
    return Certificate(
        certified=not reason,
        residual=check.residual,
        n_rows=rows.n_rows,
        activity=check.activity,
        correlation=correlation,
        rank=sample.rank,
        unidentified=tuple(_unidentified(rows, model, check, sample, tests)),
        reason=reason or "every label is reproduced and every neuron passed its test",
    )


def _unidentified(
    rows: Rows, model: Model, check: Verification, sample: Sample, tests: list[UnitTest]
) -> list[Unidentified]:
    """Neurons and weight directions that the rows leave undetermined."""
    records = []
    for i, test in enumerate(tests):
        active = int(check.activity[i])
        if active == rows.n_rows:
            records.append(Unidentified(i, "active on every row: indistinguishable from a linear function"))
        elif test.rival > 1 - RIVAL:
            records.append(Unidentified(i, "another function with the same active rows fits as well"))
        elif len(test.free):
            what = f"its {active} active rows leave {len(test.free)} weight directions free"
            records.append(Unidentified(i, what, test.free))
        elif test.n_edge:
            what = f"{test.n_edge} rows lie on its boundary: with some of them active, other weights might fit"
            records.append(Unidentified(i, what))
    absent = absent_directions(sample)
    if len(absent):
        what = f"the inputs span only {sample.X.shape[1] - len(absent)} of {sample.X.shape[1]} dimensions"
        records.append(Unidentified(None, what, absent))
    records.extend(_mirrored(model, sample))
    if check.residual > _round_off(sample):
        records.append(Unidentified(None, f"effects below {check.residual:.0e} of the labels are not excluded"))
    records.extend(_other_networks(sample, model))
    n_linear = len(model.hidden) - model.n_neurons
    if n_linear:
        what = f"{n_linear} neuron(s) active on every row: only their sum is determined, returned as `linear`"
        records.append(Unidentified(None, what))
    return records


def _mirrored(model: Model, sample: Sample) -> list[Unidentified]:
    """Neurons that could point the other way: f(t) and f(-t) differ by a multiple of t, if that is in the label space.

    An opposite pair on its own is safe: nothing else could make up for the turn of one of them. It is not when some
    linear function is positive on every row, as a neuron active on every row could replace one of the pair.
    """
    T = sample.X @ model.hidden.T
    F = np.where(T > 0, T, model.slopes * T)
    if model.kind.output_bias:
        F = np.column_stack([F, sample.ones])
    Q, _ = np.linalg.qr(F / np.linalg.norm(F, axis=0).clip(min=np.finfo(float).tiny))
    own = T[:, : model.n_neurons]
    rest = np.linalg.norm(own - Q @ (Q.T @ own), axis=0)
    turnable = np.flatnonzero(rest < TURNABLE * np.linalg.norm(own, axis=0))
    if not len(turnable):
        return []
    U = sample.forward @ model.W[turnable].T
    opposite = len(turnable) == 2 and U[:, 0] @ U[:, 1] < -(1 - 1e-12) * np.linalg.norm(U[:, 0]) * np.linalg.norm(
        U[:, 1]
    )
    if opposite and model.n_neurons == len(model.hidden) and not _positive_function_exists(sample):
        return []
    what = "it could point the other way: its linear function lies in the label space"
    return [Unidentified(int(i), what) for i in turnable]


def _positive_function_exists(sample: Sample) -> bool:
    """Whether some linear function of the inputs is positive on every row: a linear programme."""
    X = sample.inputs / np.linalg.norm(sample.inputs, axis=1, keepdims=True).clip(min=np.finfo(float).tiny)
    n, e = X.shape
    solution = linear_programme(
        np.append(np.zeros(e), -1.0),
        A_ub=np.column_stack([-X, np.ones(n)]),
        b_ub=np.zeros(n),
        bounds=[(-1, 1)] * e + [(None, 1)],
    )
    return solution is None or solution[-1] > 1e-9


def _other_networks(sample: Sample, model: Model) -> list[Unidentified]:
    """What few distinct rows leave open: other patterns may fit as well, and a search shows only that some do."""
    distinct = len(np.unique(sample.X, axis=0))
    size = sample.X.shape[1] + model.n_neurons
    if model.n_neurons == 0 or distinct > FEW_ROWS * size:
        return []
    scarce = distinct < max(LATTICE, VERY_FEW_ROWS * size)
    n_other = other_neurons(sample, model, (50 if scarce else 1) * (model.n_neurons + 10))
    if n_other:
        what = f"{n_other} other neuron(s) lie in the label space: some could stand in for the ones returned"
        return [Unidentified(None, what)]
    if distinct < VERY_FEW_ROWS * size:
        return [Unidentified(None, f"{distinct} distinct rows are few for {size} inputs and neurons: others may fit")]
    return []


def other_neurons(sample: Sample, model: Model, starts: int) -> int:
    """How many functions of single neurons in the label space are not the model's, as far as `starts` ascents show."""
    k, slope = model.n_neurons, model.kind.slope
    state = Deflation(sample, slope)
    V = random_starts(sample, 0, starts, np.random.default_rng(0))
    outcome = state.ascend(V)
    functions = neuron_functions(sample, np.vstack([model.W, V @ sample.back.T]), slope)
    functions = functions / np.linalg.norm(functions, axis=0).clip(min=np.finfo(float).tiny)
    known = list(functions[:, :k].T)
    for v, function, rho2 in zip(V, functions[:, k:].T, outcome[:, 0], strict=True):
        is_neuron = 1.0 - rho2 < CORRELATION and state.locate(v)[1] < SAME_FUNCTION
        if is_neuron and all(np.linalg.norm(function - other) > 1e3 * SAME_FUNCTION for other in known):
            known.append(function)
    return len(known) - k


def _round_off(sample: Sample) -> float:
    """Relative residual that round-off alone can leave: it grows with the condition of the labels."""
    labels = np.column_stack([sample.Y, sample.ones])
    norms = np.linalg.norm(labels, axis=0)
    s = np.linalg.svd(labels[:, norms > 0] / norms[norms > 0], compute_uv=False)
    condition = s[0] / s[s > LABEL_RANK * s[0]][-1]
    return float(max(RESOLVED, np.finfo(float).eps * condition))


def absent_directions(sample: Sample) -> Array:
    """Orthonormal weight directions (q, d) that no row of the sample sees."""
    d, e = sample.back.shape
    if e == d:
        return np.empty((0, d))
    _, _, vt = np.linalg.svd(sample.forward, full_matrices=True)
    return np.ascontiguousarray(vt[e:])


def in_doubt(tests: list[UnitTest]) -> list[int]:
    """Neurons that the sample does not determine, but more rows might."""
    return [i for i, test in enumerate(tests) if len(test.free) or test.rival > 1 - RIVAL]


def deciding_rows(rows: Rows, model: Model, sample: Sample, doubtful: list[int]) -> npt.NDArray[np.int64]:
    """Rows outside the sample's span, and active rows of the doubtful neurons, found in one pass over all rows."""
    d = rows.n_inputs
    absent = absent_directions(sample)
    found: list[list[int]] = [[] for _ in range(len(doubtful) + 1)]
    for first, X, _ in rows.chunks(1 << 14):
        outside = np.linalg.norm(X @ absent.T, axis=1) > 1e-9 * np.linalg.norm(X, axis=1)
        decides = np.column_stack([X @ model.W[doubtful].T > 0, outside])
        for column, indices in zip(decides.T, found, strict=True):
            if len(indices) < 3 * d:
                indices.extend((first + np.flatnonzero(column)[: 3 * d]).tolist())
    return np.unique(np.array([i for indices in found for i in indices], dtype=np.int64))
