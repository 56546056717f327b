"""The networks that the guarantee speaks of: l1-bounded, with erf or its integral as activation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.norms import ACTIVATIONS, network_norm
from fastmom.runtime.validation import as_choice, as_count, as_number, as_rng

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BoundedNetwork:
    """A network of one output whose neurons have bounded weights.

    Attributes
    ----------
    weights : list of ndarray
        Hidden weights (k, d), a matrix for each further layer, the last one (1, k).
    activation, c : str, float
        "erf" or "smoothed_hinge", and its sharpness: see `fastmom.rkhs.norms.network_norm_bound`.
    """

    weights: list[Array]
    activation: str = "erf"
    c: float = 1.0

    @property
    def depth(self) -> int:
        """Number of activation layers."""
        return len(self.weights) - 1

    def predict(self, X: Array) -> Array:
        """Values (n,) on rows X (n, d)."""
        values = X @ self.weights[0].T
        for W in self.weights[1:]:
            values = activate(values, self.activation, self.c) @ W.T
        return np.asarray(values[:, 0])

    def norm(self, degree: int = 40) -> float:
        """Norm in the space of the recursive kernel of its depth, see `fastmom.rkhs.norms.network_norm`."""
        return network_norm(self.weights, self.activation, self.c, degree=degree)


def random_l1_network(
    n_inputs: int,
    depth: int,
    L: float = 1.0,
    *,
    width: int = 6,
    activation: str = "erf",
    c: float = 1.0,
    rng: int | np.random.Generator | None = None,
) -> BoundedNetwork:
    """Draw a network at the edge of the class: every neuron's weights have norm L, l2 in the first layer, else l1.

    Parameters
    ----------
    n_inputs, depth, width : int
        Inputs d, activation layers, neurons of each layer.
    L : float
        Norm of each neuron's weights.
    activation, c : str, float
        As in `BoundedNetwork`.
    rng : None, int or Generator
        Source of the Gaussian weights that are scaled.

    Returns
    -------
    BoundedNetwork
        Of one output.

    Examples
    --------
    >>> from fastmom.rkhs.networks import random_l1_network
    >>> network = random_l1_network(10, depth=2, c=0.25, rng=0)
    >>> bool(abs(network.weights[-1]).sum() < 1 + 1e-12)
    True
    """
    inputs, layers, neurons = as_count(n_inputs, "n_inputs"), as_count(depth, "depth"), as_count(width, "width")
    as_choice(activation, "activation", ACTIVATIONS)
    bound, sharpness = as_number(L, "L", 0.0), as_number(c, "c", 0.0)
    generator, _ = as_rng(rng)
    first = generator.standard_normal((neurons, inputs))
    weights = [bound * first / np.linalg.norm(first, axis=1, keepdims=True)]
    for rows in [neurons] * (layers - 1) + [1]:
        W = generator.standard_normal((rows, neurons))
        weights.append(bound * W / np.abs(W).sum(axis=1, keepdims=True))
    return BoundedNetwork(weights, activation, sharpness)


def activate(t: Array, activation: str, c: float) -> Array:
    """The activation, entry by entry."""
    from scipy.special import erf

    sign: Array = erf(math.sqrt(c) * t)
    if activation == "erf":
        return sign
    return np.asarray(0.5 * t * (1 + sign) + np.exp(-c * t * t) / (2 * math.sqrt(math.pi * c)))
