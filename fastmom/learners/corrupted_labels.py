"""The route for labels of which a share is wrong, and the evidence that asks for it."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from fastmom.patterns.corrupted import Recovery, recover_corrupted
from fastmom.patterns.model import LabelScale, Model, ModelClass
from fastmom.patterns.noisy import residuals, subsample
from fastmom.patterns.verdict import Outcome, failure
from fastmom.runtime.passes import Rows

Array = npt.NDArray[np.float64]

_PROBE_ROWS = 4000
_HEAVY = 0.8  # of the middle residuals that Gaussian noise of that size has: wrong labels leave smaller ones
_GROWS = 0.1  # correlation of the size of residuals with that of inputs or fit: noise does not care
_FEWEST = 12  # rows below which the middle tells nothing


def recover_from_corrupted(
    rows: Rows, kind: ModelClass, scale: LabelScale, rng: np.random.Generator, timings: dict[str, float]
) -> Outcome:
    """Robust starts, exact refit, certificate of the rows that are not corrupt."""
    started = time.perf_counter()
    with np.errstate(all="ignore"):  # on degenerate rows sums overflow: such a fit is not exact
        try:
            found = recover_corrupted(rows, kind, scale, rng)
        except np.linalg.LinAlgError:
            found = Recovery(None, None, np.empty(0, dtype=np.int64), 0, np.inf)
    timings["robust"] = timings.get("robust", 0.0) + time.perf_counter() - started
    outcome = _verdict(found, rows, kind)
    outcome.timings = timings
    outcome.variant = "robust"
    return outcome


def _verdict(found: Recovery, rows: Rows, kind: ModelClass) -> Outcome:
    model, certificate = found.model, found.certificate
    if model is None or certificate is None:
        k = "any number of" if kind.n_hidden is None else kind.n_hidden
        message = (
            f"no network of {k} {kind.activation} neurons explains more than half of the {rows.n_rows:,} rows exactly "
            f"in {found.starts} starts: the other labels are noisy too, more rows are wrong, there are too few rows "
            "for so many neurons, or it is not such a network"
        )
        outcome = failure("no_exact_fit", message)
        outcome.diagnostics = {"starts": found.starts, "median_residual": found.spread}
        return outcome
    wrong, k = len(found.corrupt), model.n_neurons
    clean = rows.n_rows - wrong
    diagnostics = {"starts": found.starts, "corrupt_rows": found.corrupt}
    neurons = f"{k} {kind.activation} neuron{'' if k == 1 else 's'}"
    if not certificate.certified:
        message = f"{neurons} explain {clean:,} of {rows.n_rows:,} rows exactly, but {certificate.reason}"
        return Outcome("uncertified", message, False, model, certificate, diagnostics, {})
    message = f"recovered {neurons} exactly"
    if wrong:
        message += f" from {clean:,} of {rows.n_rows:,} rows; the labels of the other {wrong:,} are judged corrupt"
    if certificate.unidentified:
        message += "; the rows leave something undetermined, see certificate.unidentified"
    return Outcome("recovered", message, True, model, certificate, diagnostics, {})


def suspicious(rows: Rows, model: Model, rng: np.random.Generator) -> bool:
    """Whether residuals of a least-squares fit are rather those of wrong labels among right ones than Gaussian noise.

    The median of their squared norm, whitened, relative to its mean is that of a chi-square variable for Gaussian
    noise, and smaller if some rows are much worse than others. Flipped labels leave residuals as large as the labels.
    """
    X, Y = subsample(rows, _PROBE_ROWS, rng)
    R = residuals(X, Y, model)
    sizes = np.column_stack([np.linalg.norm(Y - R, axis=1), np.linalg.norm(X, axis=1)])
    R = R - R.mean(axis=0)
    if len(R) < _FEWEST * R.shape[1]:
        return False
    values, vectors = np.linalg.eigh(R.T @ R / len(R))
    if not values[-1] > 0:
        return False
    kept = values > 1e-12 * values[-1]
    norms = np.sum((R @ vectors[:, kept]) ** 2 / values[kept], axis=1)
    freedom, chance = int(np.count_nonzero(kept)), 1 / np.sqrt(len(R))
    gaussian = (1 - 2 / (9 * freedom)) ** 3  # median over mean, Wilson and Hilferty 1931
    heavy = np.median(norms) < (_HEAVY - 3 * chance) * gaussian * norms.mean()
    sizes = sizes[:, np.ptp(sizes, axis=0) > 1e-9 * sizes.max()]
    grows = (
        np.corrcoef(np.column_stack([np.sqrt(norms), sizes]), rowvar=False)[0, 1:] > _GROWS + 3 * chance
        if sizes.size
        else False
    )
    return bool(heavy or np.any(grows))
