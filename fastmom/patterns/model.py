"""The network while it is being learned, and passes of it over all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.activations import Activation
from fastmom.kernels import forward
from fastmom.network import TwoLayerNetwork
from fastmom.runtime.passes import Rows, sum_over_rows

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelClass:
    """What the user says about the network.

    Attributes
    ----------
    activation : Activation
        Of the hidden neurons.
    hidden_bias, output_bias : bool
        Whether the network has them. A hidden bias is the weight of a last input that is one.
    n_hidden : int or None
        Number of neurons, None if unknown.
    """

    activation: Activation
    hidden_bias: bool
    output_bias: bool
    n_hidden: int | None

    @property
    def slope(self) -> float:
        """Derivative of the activation where its input is negative."""
        return self.activation.slope


@dataclass(frozen=True)
class Model:
    """A network as its passes see it: neurons first, then linear functions, which are neurons of slope one.

    Attributes
    ----------
    hidden : ndarray (u, d)
        Weights; with a hidden bias the last column is the bias.
    outer : ndarray (u + 1, m)
        Output weights, the output bias last (zero without one).
    n_neurons : int
        The first rows of `hidden`; the other u - n_neurons are linear functions.
    kind : ModelClass
        Activation and biases.
    """

    hidden: Array
    outer: Array
    n_neurons: int
    kind: ModelClass

    @property
    def slopes(self) -> Array:
        """Slope of every unit on its inactive side (u,)."""
        slopes = np.ones(len(self.hidden))
        slopes[: self.n_neurons] = self.kind.slope
        return slopes

    @property
    def W(self) -> Array:
        """Hidden weights of the neurons (k, d), bias included."""
        return self.hidden[: self.n_neurons]

    def parameters(self) -> tuple[Array, Array, Array]:
        """(hidden, outer, slopes) as the kernels take them."""
        return np.ascontiguousarray(self.hidden.T), np.ascontiguousarray(self.outer), self.slopes

    def network(self) -> TwoLayerNetwork:
        """The network with unit weight vectors, the scale in A."""
        k, biased = self.n_neurons, self.kind.hidden_bias
        d = self.hidden.shape[1] - biased
        scale = np.linalg.norm(self.W[:, :d], axis=1)
        scale[scale == 0] = 1.0
        W = self.W / scale[:, None]
        A = (self.outer[:k] * scale[:, None]).T
        linear_outer, linear_hidden = self.outer[k:-1].T, self.hidden[k:]
        output_bias = self.outer[-1].copy()
        linear = None
        if len(linear_hidden):
            linear = linear_outer @ linear_hidden[:, :d]
            if biased:
                output_bias += linear_outer @ linear_hidden[:, d]
        return TwoLayerNetwork(
            W[:, :d],
            A,
            hidden_bias=W[:, d] if biased else None,
            output_bias=output_bias if self.kind.output_bias or (biased and linear is not None) else None,
            linear=linear,
            activation=self.kind.activation,
        )


@dataclass(frozen=True)
class Verification:
    """A network against the labels of all rows.

    Attributes
    ----------
    residual : float
        RMS of the residual relative to the RMS of the labels about their mean.
    worst_output : float
        The same for the output where it is largest.
    worst_row : float
        Largest residual norm of a row, relative to the norm of its label plus what the network's weights could
        make of its inputs: the unit of its round-off.
    activity : ndarray (k,)
        Rows on which each neuron is active.
    sum_of_squares : float
        Of the residual.
    """

    residual: float
    worst_output: float
    worst_row: float
    activity: npt.NDArray[np.int64]
    sum_of_squares: float


@dataclass(frozen=True)
class LabelScale:
    """Size of the labels.

    Attributes
    ----------
    mean, deviation : ndarray (m,)
        Mean of every output, and its sum of squared deviations from it.
    n_rows : int
        How many rows.
    """

    mean: Array
    deviation: Array
    n_rows: int

    @property
    def spread(self) -> float:
        """RMS of the labels about their mean."""
        return float(np.sqrt(self.deviation.sum() / self.n_rows))

    @property
    def offset(self) -> float:
        """Norm of the mean."""
        return float(np.linalg.norm(self.mean))


def label_scale(rows: Rows) -> LabelScale:
    """Mean and deviation of every output over all rows, in two passes."""
    total = np.zeros(rows.n_outputs)
    for Y in rows.label_chunks(1 << 16):
        total += Y.sum(axis=0)
    mean = total / rows.n_rows
    deviation = np.zeros(rows.n_outputs)
    for Y in rows.label_chunks(1 << 16):
        Y = Y - mean
        deviation += np.einsum("ij,ij->j", Y, Y)
    return LabelScale(mean, deviation, rows.n_rows)


def verify(
    rows: Rows, model: Model, scale: LabelScale, visit: Callable[[int, Array], None] | None = None
) -> Verification:
    """Residual over all rows and active rows of every neuron, in one fused pass.

    `visit` receives (first row, squared residual norms relative to the row's own size) chunk by chunk.
    """
    u, m = len(model.hidden), rows.n_outputs
    largest = 0.0

    def look(first: int, values: Array) -> None:
        nonlocal largest
        largest = max(largest, float(values.max()))
        if visit is not None:
            visit(first, values)

    sums = sum_over_rows(
        rows,
        forward.residual_pass,
        model.parameters(),
        width=m + u,
        scratch_width=2 * u + m,
        row_flops=2.0 * u * (rows.n_inputs + m),
        stage="verifying",
        visit=look,
    )
    total = scale.deviation.sum()
    # A constant output has no scale of its own: measure it by the whole.
    own = np.where(scale.deviation > 1e-24 * total, scale.deviation, total)
    return Verification(
        residual=float(np.sqrt(_ratio(sums[:m].sum(), total))),
        worst_output=float(np.sqrt(max(_ratio(s, t) for s, t in zip(sums[:m], own, strict=True)))),
        worst_row=float(np.sqrt(largest)),
        activity=np.rint(sums[m : m + model.n_neurons]).astype(np.int64),
        sum_of_squares=float(sums[:m].sum()),
    )


def _ratio(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else np.inf
