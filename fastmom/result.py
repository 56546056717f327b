"""What a learner returns: the network, how far it is certain, and a record of the run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from fastmom.network import TwoLayerNetwork

_LISTED = 5  # unidentified neurons that a printed result names
_WHOLE_ARRAY = 1000  # longer arrays are summarised by their shape
_LABEL_WIDTH = 13


class Model(Protocol):
    """Anything with predict."""

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the outputs (n, m) for inputs (n, d)."""


@dataclass(frozen=True, eq=False)
class Unidentified:
    """Something the rows leave undetermined.

    Parameters
    ----------
    neuron : int or None
        Which neuron; None for the outputs as a whole.
    reason : str
        Why, in a few words.
    directions : ndarray (q, d) or (q, d + 1), optional
        Orthonormal rows in weight space, [w, b] with a hidden bias, along which the neuron can move without
        any row noticing; None when the whole neuron is undetermined.

    Examples
    --------
    >>> import fastmom as fm
    >>> fm.Unidentified(3, "active on no row")
    Unidentified(neuron=3, reason='active on no row', directions=None)
    """

    neuron: int | None
    reason: str
    directions: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Certificate:
    """Whether the network reproduces the labels of all rows, and is the only one that does.

    Parameters
    ----------
    certified : bool
        The network reproduces the labels to round-off and every neuron passed its own test.
    residual : float
        RMS of the residual over all rows, relative to the RMS of the labels about their mean.
    n_rows : int
        How many rows were checked.
    activity : ndarray (k,)
        Rows on which each neuron is active.
    correlation : ndarray (k,)
        Correlation of each neuron with the label space; 1 for a neuron of the network that made the labels.
    rank : int
        Dimension of the label space, the number of neurons the labels show.
    unidentified : tuple of Unidentified
        What the rows leave undetermined; empty means that no other network of as many neurons was found to fit:
        with rows in general position there is none.
    n_corrupt : int
        Rows judged corrupt: residual, activity and the claim are about the others. Zero unless a share of wrong
        labels was allowed for.
    reason : str
        Why it is certified or not.

    Raises
    ------
    ValueError
        If certified without a finite residual.

    Examples
    --------
    >>> import fastmom as fm
    >>> bool(fm.Certificate(certified=False, residual=0.3, n_rows=1000, reason="the labels are noisy"))
    False
    """

    certified: bool
    residual: float
    n_rows: int
    activity: npt.NDArray[Any] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    correlation: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    rank: int = 0
    unidentified: tuple[Unidentified, ...] = ()
    n_corrupt: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a certificate that nothing was measured for."""
        if self.certified and not math.isfinite(self.residual):
            raise ValueError(f"residual: a certificate needs a finite residual, got {self.residual}")

    def __bool__(self) -> bool:
        """Whether the network is certified."""
        return bool(self.certified)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FitResult:
    """The outcome of learning.

    Parameters
    ----------
    network : TwoLayerNetwork or None
        The network found; None if none was, or if the method learns something else.
    model : object, optional
        What predicts; the network unless given.
    success : bool
        Whether the method did what it promises.
    status : str
        One word for programs: "recovered", "least_squares", "rank_deficient", "no_neurons_found", ...
    message : str
        One sentence for people: what was recovered, or which assumption failed.
    method, variant : str
        What ran.
    n_hidden : int, optional
        Number of neurons; the network's unless given.
    certificate : Certificate, optional
        How far the network is certain.
    diagnostics : dict
        Further measurements by name.
    timings : dict
        Seconds by stage; "total" is the whole.
    seed : int, optional
        The `rng` that repeats the run.

    Examples
    --------
    >>> import fastmom as fm
    >>> network = fm.TwoLayerNetwork([[1.0]], [1.0])
    >>> result = fm.FitResult(network=network, success=True, status="recovered", seed=0)
    >>> result.predict([[2.0]])
    array([[2.]])
    >>> result
    FitResult: recovered, not certified
      network      TwoLayerNetwork(1 -> 1 -> 1, relu)
      seed         0
    """

    success: bool
    status: str
    network: TwoLayerNetwork | None = None
    model: Model | None = None
    message: str = ""
    method: str = ""
    variant: str = ""
    n_hidden: int | None = None
    certificate: Certificate | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        """Let the network predict and count its neurons unless told otherwise."""
        if self.network is not None:
            if self.model is None:
                object.__setattr__(self, "model", self.network)
            if self.n_hidden is None:
                object.__setattr__(self, "n_hidden", self.network.n_hidden)

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the model's outputs (n, m) for inputs (n, d).

        Raises
        ------
        ValueError
            If nothing was recovered.
        """
        if self.model is None:
            raise ValueError(f"nothing was recovered ({self.status}), so nothing can predict: {self.message}")
        return self.model.predict(X)

    def to_dict(self) -> dict[str, Any]:
        """Return a summary that JSON can hold: no weights, null for what is not finite."""
        net, certificate = self.network, self.certificate
        summary: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("success", "status", "message", "method", "variant", "n_hidden", "seed")
        }
        summary["network"] = None if net is None else _network_summary(net)
        summary["certificate"] = None if certificate is None else _certificate_summary(certificate)
        summary["diagnostics"], summary["timings"] = self.diagnostics, self.timings
        return cast(dict[str, Any], _jsonable(summary))

    def __repr__(self) -> str:
        """Return what a person wants to know, a line each."""
        verdict = "certified" if self.certificate else "not certified"
        return "\n".join([f"FitResult: {self.status}, {verdict}", *(f"  {line}" for line in self._lines())])

    def _lines(self) -> Iterator[str]:
        if self.network is not None:
            yield _line("network", repr(self.network))
        elif self.model is not None:
            yield _line("model", type(self.model).__name__)
        if self.method:
            yield _line("method", f"{self.method}, {self.variant}" if self.variant else self.method)
        if self.message:
            yield _line("outcome", self.message)
        if self.certificate is not None:
            yield from _certificate_lines(self.certificate)
        if self.timings:
            yield _line("time", _timing_text(self.timings))
        if self.seed is not None:
            yield _line("seed", str(self.seed))


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}}{text}"


def _certificate_lines(certificate: Certificate) -> Iterator[str]:
    counted = f"{certificate.n_rows - certificate.n_corrupt:,} rows"
    apart = f", {certificate.n_corrupt:,} corrupt ones apart" if certificate.n_corrupt else ""
    yield _line("residual", f"{certificate.residual:.2g} relative RMS over {counted}{apart}")
    answer = "yes" if certificate else "no"
    yield _line("certified", f"{answer}: {certificate.reason}" if certificate.reason else answer)
    label = "undetermined"
    for item in certificate.unidentified[:_LISTED]:
        whose = "outputs" if item.neuron is None else f"neuron {item.neuron}"
        count = "" if item.directions is None else f" ({len(item.directions)} directions)"
        yield _line(label, f"{whose}{count}: {item.reason}")
        label = ""
    if len(certificate.unidentified) > _LISTED:
        yield _line("", f"and {len(certificate.unidentified) - _LISTED} more")


def _timing_text(timings: dict[str, float]) -> str:
    stages = {name: seconds for name, seconds in timings.items() if name != "total"}
    total = timings.get("total", sum(stages.values()))
    parts = ", ".join(f"{name} {seconds:.2g} s" for name, seconds in stages.items())
    return f"{total:.2g} s ({parts})" if parts else f"{total:.2g} s"


def _network_summary(network: TwoLayerNetwork) -> dict[str, Any]:
    return {
        "n_inputs": network.n_inputs,
        "n_hidden": network.n_hidden,
        "n_outputs": network.n_outputs,
        "activation": str(network.activation),
        "hidden_bias": network.hidden_bias is not None,
        "output_bias": network.output_bias is not None,
        "linear": network.linear is not None,
    }


def _certificate_summary(certificate: Certificate) -> dict[str, Any]:
    names = ("certified", "residual", "n_rows", "n_corrupt", "activity", "correlation", "rank", "reason")
    summary = {name: getattr(certificate, name) for name in names}
    summary["unidentified"] = [
        {
            "neuron": item.neuron,
            "reason": item.reason,
            "n_directions": None if item.directions is None else len(item.directions),
        }
        for item in certificate.unidentified
    ]
    return summary


def _jsonable(value: Any) -> Any:
    """Rebuild from what JSON has: NumPy scalars as numbers, NaN and infinities as None, others as text."""
    if isinstance(value, np.ndarray):
        if value.size > _WHOLE_ARRAY:
            return {"shape": list(value.shape), "dtype": str(value.dtype)}
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)
