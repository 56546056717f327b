"""What the routes of a learner share: the rows and what is known of the network, and what a fitted one amounts to."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from fastmom.patterns import exact, noisy
from fastmom.patterns.certificate import reproduces
from fastmom.patterns.fewer_outputs import certify_few_outputs
from fastmom.patterns.gauss_newton import descend
from fastmom.patterns.model import LabelScale, Model, ModelClass, verify
from fastmom.patterns.verdict import Outcome, failure, least_squares, recovered
from fastmom.result import Certificate
from fastmom.runtime.passes import Rows

ROUND_OFF = 1e-16  # squared residual relative to the labels that noise does not leave
_NO_EFFECT = 1e-6  # output weights relative to the largest, that a neuron too many may keep: it is left out on trial


@dataclass
class Task:
    """Rows, what is known of the network, and what a route may use up."""

    rows: Rows
    kind: ModelClass
    scale: LabelScale
    rng: np.random.Generator
    timings: dict[str, float]
    noisy: bool = False  # as far as an exact route could tell

    @property
    def few_outputs(self) -> bool:
        """Whether there are certainly fewer outputs than neurons."""
        return self.kind.n_hidden is not None and self.kind.n_hidden > self.rows.n_outputs

    def timed(self, name: str, started: float) -> None:
        """Add the time since `started` to a stage."""
        self.timings[name] = self.timings.get(name, 0.0) + time.perf_counter() - started


def judge(task: Task, fit: noisy.NoisyFit) -> Outcome:
    """What a fitted network amounts to: exact, or an optimum of noisy labels."""
    rows, kind, model = task.rows, task.kind, fit.model
    attempt = exact.Attempt(failure="skipped")
    if fit.descent.point.loss < ROUND_OFF * task.scale.deviation.sum():
        if model.n_neurons <= rows.n_outputs:
            with np.errstate(all="ignore"):  # inputs of extreme scales overflow on the way
                attempt = exact.refine_exactly(rows, kind, task.scale, model.W, task.rng)
        else:
            certificate = certify_few_outputs(rows, model, verify(rows, model, task.scale), task.rng)
            if kind.n_hidden is None:
                model, certificate = no_more_than_shown(*without_twins(task, model, certificate))
            attempt = exact.Attempt(model, certificate, rank=certificate.rank)
        if attempt.certificate is not None and attempt.certificate.certified:
            return recovered(attempt, kind, task.timings)
    return least_squares(fit, attempt, rows, task.scale, task.timings)


def without_twins(task: Task, model: Model, certificate: Certificate) -> tuple[Model, Certificate]:
    """Drop neurons that share the place of another, or have no effect: neither is determined, and one is enough."""
    while True:
        effect = np.linalg.norm(model.outer[: model.n_neurons], axis=1)
        loose = [item.neuron for item in certificate.unidentified if item.neuron is not None]
        loose.extend(int(i) for i in np.flatnonzero(effect < _NO_EFFECT * effect.max()))
        if not loose or model.n_neurons < 2 or len(model.hidden) > model.n_neurons:
            return model, certificate
        dropped = loose[int(np.argmin(effect[loose]))]
        fewer = descend(task.rows, task.kind, np.delete(model.W, dropped, axis=0), settled=1e-6).point.model
        check = verify(task.rows, fewer, task.scale)
        if not reproduces(check):
            return model, certificate
        model, certificate = fewer, certify_few_outputs(task.rows, fewer, check, task.rng)


def no_more_than_shown(model: Model, certificate: Certificate) -> tuple[Model, Certificate]:
    """Neurons that nobody asked for must be determined: undetermined ones fit what is no network, row by row."""
    if certificate.certified and any(item.neuron is not None for item in certificate.unidentified):
        reason = "some neurons are not determined by the rows, and their number is not known: give n_hidden"
        certificate = replace(certificate, certified=False, reason=reason)
    return model, certificate


def too_few_outputs(task: Task, variant: str) -> Outcome:
    """The refusal of a route that needs as many outputs as neurons."""
    m, k = task.rows.n_outputs, task.kind.n_hidden
    message = f"{m} output(s) for {k} neurons: variant={variant!r} needs at least as many; variant='even_odd' does not"
    return replace(failure("too_few_outputs", message), variant=variant)
