"""The rivals as methods of a sweep: called like a learner, each gives a result like a learner's."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastmom.experiments import rivals
from fastmom.experiments.adam import adam_student
from fastmom.network import TwoLayerNetwork
from fastmom.result import FitResult

Array = npt.NDArray[np.float64]

_RECOVERED = 1e-10  # relative residual below which a student of exact labels has found the network
_SKLEARN_NAMES = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def _lbfgs_student(
    X: Array,
    Y: Array,
    n_hidden: int,
    *,
    bias: bool = False,
    activation: str = "relu",
    starts: int = 1,
    max_iterations: int = 4000,
    patience: int | None = None,
    rng: int | None = None,
) -> FitResult:
    fit = rivals.lbfgs_student(
        X,
        Y,
        n_hidden,
        bias=bias,
        activation=activation,
        starts=starts,
        max_iterations=max_iterations,
        patience=patience,
        rng=rng,
    )
    return _result("lbfgs_student", fit.network, fit.residual, f"the best of {starts} starts")


def _adam_student(
    X: Array,
    Y: Array,
    n_hidden: int,
    *,
    bias: bool = False,
    activation: str = "relu",
    starts: int = 1,
    steps: int = 5000,
    batch: int = 128,
    rate: float = 0.01,
    rng: int | None = None,
) -> FitResult:
    fit = adam_student(
        X, Y, n_hidden, bias=bias, activation=activation, starts=starts, steps=steps, batch=batch, rate=rate, rng=rng
    )
    return _result("adam_student", fit.network, fit.residual, f"the best of {starts} starts")


def _sklearn_mlp(
    X: Array,
    Y: Array,
    n_hidden: int,
    *,
    activation: str = "relu",
    solver: str = "adam",
    alpha: float = 0.0,
    rate: float = 0.01,
    batch: int = 128,
    max_iter: int = 1000,
    tol: float = 1e-6,
    rng: int | None = None,
) -> FitResult:
    """Scikit-learn's MLPRegressor, which always has both biases, on labels of unit size."""
    try:
        module = importlib.import_module("sklearn.neural_network")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("sklearn_mlp needs scikit-learn: pip install 'fastmom[sklearn]'") from error
    if activation not in _SKLEARN_NAMES:
        raise ValueError(f"activation: scikit-learn has none like {activation!r}, only {', '.join(_SKLEARN_NAMES)}")
    scale = float(np.sqrt(np.mean(Y * Y))) or 1.0
    model = module.MLPRegressor(
        hidden_layer_sizes=(n_hidden,),
        activation=_SKLEARN_NAMES[activation],
        solver=solver,
        alpha=alpha,
        learning_rate_init=rate,
        batch_size=min(batch, len(X)),
        max_iter=max_iter,
        tol=tol,
        random_state=None if rng is None else rng % (1 << 32),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that max_iter was reached
        model.fit(X, (Y / scale)[:, 0] if Y.shape[1] == 1 else Y / scale)
    (W, A), (hidden_bias, output_bias) = model.coefs_, model.intercepts_
    network = TwoLayerNetwork(W.T, scale * A.T, hidden_bias, scale * output_bias, activation=activation)
    residual = float(np.linalg.norm(network.predict(X) - Y) / (scale * np.sqrt(Y.size)))
    return _result("sklearn_mlp", network, residual, f"{model.n_iter_} epochs")


def _result(method: str, network: TwoLayerNetwork, residual: float, how: str) -> FitResult:
    """A trained student as a result: without a certificate, and a success only if it fits to round-off."""
    found = residual < _RECOVERED
    return FitResult(
        network=network,
        success=found,
        status="recovered" if found else "trained",
        message=f"{how}, relative residual {residual:.2g}",
        method=method,
        diagnostics={"residual": residual},
    )


RIVALS: dict[str, Callable[..., FitResult]] = {
    "adam_student": _adam_student,
    "lbfgs_student": _lbfgs_student,
    "sklearn_mlp": _sklearn_mlp,
}
