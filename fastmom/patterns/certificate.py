"""What may be claimed of a recovered network: the certificate, and the search for rows that settle a doubt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastmom.patterns.model import Model, Verification
from fastmom.patterns.sample import Sample
from fastmom.patterns.unit_systems import UnitTest
from fastmom.result import Certificate, Unidentified
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

EXACT = 1e-10  # relative RMS residual of every output over all rows
EXACT_ROW = 1e-9  # largest residual of one row, relative to the largest label
NEURON = 1e-9  # 1 - correlation of a neuron with the label space
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
    absent = absent_directions(sample)
    if len(absent):
        what = f"the inputs span only {sample.X.shape[1] - len(absent)} of {sample.X.shape[1]} dimensions"
        records.append(Unidentified(None, what, absent))
    n_linear = len(model.hidden) - model.n_neurons
    if n_linear:
        what = f"{n_linear} neuron(s) active on every row: only their sum is determined, returned as `linear`"
        records.append(Unidentified(None, what))
    return records


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
    scores: list[Callable[[Array], Array]] = []
    if len(absent):
        scale = np.sqrt(np.mean(sample.X**2)) or 1.0
        scores.append(lambda X: np.linalg.norm(X @ absent.T, axis=1) - 1e-9 * scale)
    for i in doubtful:
        w = model.W[i]
        scores.append(lambda X, w=w: X @ w)  # type: ignore[misc]
    found: list[list[int]] = [[] for _ in scores]
    for first, X, _ in rows.chunks(1 << 14):
        for score, indices in zip(scores, found, strict=True):
            if len(indices) < 3 * d:
                indices.extend((first + np.flatnonzero(score(X) > 0)[: 3 * d]).tolist())
    return np.unique(np.array([i for indices in found for i in indices], dtype=np.int64))
