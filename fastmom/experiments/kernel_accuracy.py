"""How well the recursive kernel predicts, beside a trained network: small data sets, one protocol for both.

Rows are centred and scaled (images are not), a constant is appended and rows are normalised. A quarter of the training
rows is held out to choose depth and penalty, or the rival's width and decay; then everything is fitted again.
Classes are learned by squared or hinge loss, one against the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastmom.experiments.images import convex, rectangles
from fastmom.rkhs.hinge import hinge_ball
from fastmom.rkhs.networks import random_l1_network
from fastmom.rkhs.products import as_ball_rows, kernel_values
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_count, as_rng

Array = npt.NDArray[np.float64]
Split = tuple[Array, Array, Array, Array]
Fit = Callable[[Array], Array]

DEPTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
RADII = (10.0, 20.0, 40.0, 80.0, 160.0)
PENALTIES = tuple(10.0**power for power in range(-8, 2))
RIVALS = tuple((layers, alpha) for layers in ((128,), (128, 128)) for alpha in (1e-4, 1e-2, 1.0))
_HELD_OUT = 0.25


@dataclass(frozen=True)
class Task:
    """A data set and how it is split.

    Attributes
    ----------
    n_train, n_test : int
        Rows to learn from; most rows to test on.
    splits : int
        Independent ones.
    classes : bool
        Whether labels are classes, and the error their share that is wrong; else it is RMS error over spread.
    images : bool
        Images keep their pixels.
    layers, L : int, float
        Of the network whose values these are, and the norms of its weights.
    """

    n_train: int
    n_test: int
    splits: int
    classes: bool = True
    images: bool = False
    layers: int = 0
    L: float = 1.0


TASKS = {
    "digits": Task(1200, 597, 10, images=True),
    "convex": Task(2000, 4000, 2, images=True),
    "rectangles": Task(1200, 5000, 2, images=True),
    "diabetes": Task(330, 112, 5, classes=False),
    **{f"erf-{k}": Task(1000, 4000, 1, classes=False, layers=k) for k in (1, 2, 3)},
    **{f"erf-{k}-large": Task(1000, 4000, 1, classes=False, layers=k, L=3.0) for k in (1, 2, 3)},
}


def kernel_accuracy(
    name: str,
    *,
    loss: Literal["squared", "hinge"] = "squared",
    rival: bool = True,
    rng: int | np.random.Generator | None = 0,
) -> dict[str, Any]:
    """Test error of the recursive kernel on one task, and of scikit-learn's multi-layer perceptron.

    Parameters
    ----------
    name : {"digits", "convex", "rectangles", "diabetes", "erf-1", "erf-2", "erf-3", "erf-1-large", ..}
        Handwritten digits and diabetes come with scikit-learn; images of `fastmom.experiments.images`; values of
        l1-bounded networks with 1, 2, 3 layers of erf(t), width 4, 10 inputs, with noise of a tenth of their spread:
        L = 1, or L = 3 ("large"), where the ball that holds such networks is beyond use.
    loss : {"squared", "hinge"}
        Hinge for classes only.
    rival : bool
        Train the perceptron too: (128,) or (128, 128) neurons, decay 1e-4, 0.01 or 1.
    rng : None, int or Generator
        Source of data, splits and initial weights.

    Returns
    -------
    dict
        JSON-ready: "task", "error" and "rival_error" (share of wrong classes, or RMS error over the spread of test
        labels; means over splits, None without rival), "errors" and "rival_errors" by split, "chosen" (depth, and
        penalty or radius).

    Raises
    ------
    ValueError
        For an unknown task or loss, and for the hinge loss of labels that are no classes.
    ModuleNotFoundError
        Without scikit-learn, where the data or the rival need it.

    Examples
    --------
    >>> from fastmom.experiments.kernel_accuracy import kernel_accuracy
    >>> kernel_accuracy("erf-1", rival=False)["error"] < 0.115
    True
    """
    task = TASKS[as_choice(name, "name", TASKS)]
    if as_choice(loss, "loss", ("squared", "hinge")) == "hinge" and not task.classes:
        raise ValueError(f"loss: 'hinge' is for classes, and the labels of {name!r} are numbers; use 'squared'")
    generator, _ = as_rng(rng)
    errors, rivals, chosen = [], [], []
    with single_blas_thread():
        for stream in generator.spawn(task.splits):
            data_stream, split_stream = stream.spawn(2)
            X, y, Z, labels = _prepared(task, *_data(name, task, data_stream))
            order = split_stream.permutation(len(X))
            fit, choice = _selected(task, X, y, _squared_fits if loss == "squared" else _hinge_fits, order)
            errors.append(_error(task, fit(Z), labels))
            chosen.append(choice)
            if rival:
                fit, _ = _selected(task, X, y, _perceptrons, order)
                rivals.append(_error(task, fit(Z), labels))
    return {
        "task": name,
        "error": float(np.mean(errors)),
        "rival_error": float(np.mean(rivals)) if rivals else None,
        "errors": errors,
        "rival_errors": rivals,
        "chosen": chosen,
    }


def _data(name: str, task: Task, rng: np.random.Generator) -> Split:
    """Inputs and labels (n,) to learn from and to test on."""
    n = task.n_train + task.n_test
    if name in ("digits", "diabetes"):
        datasets = _sklearn("datasets", f"the {name} data")
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        order = rng.permutation(len(X))[:n]
        X, y = X[order], y[order]
    elif name in ("convex", "rectangles"):
        X, y = (convex if name == "convex" else rectangles)(n, rng)
    else:
        X = rng.standard_normal((n, 10))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        y = random_l1_network(10, task.layers, task.L, width=4, rng=rng).predict(X)
        y += 0.1 * y.std() * rng.standard_normal(n)
    m = as_count(min(task.n_train, len(X) - 1), "n_train")
    return X[:m].astype(np.float64), y[:m], X[m:].astype(np.float64), y[m:]


def _prepared(task: Task, X: Array, y: Array, Z: Array, labels: Array) -> Split:
    """Rows on the sphere; classes as columns of -1 and 1, other labels centred and scaled, as (n, q)."""
    if not task.images:
        mean, spread = X.mean(axis=0), X.std(axis=0)
        X, Z = (X - mean) / spread, (Z - mean) / spread
    else:  # pixels between 0 and 1
        largest = X.max()
        X, Z = X / largest, Z / largest
    X, Z = (np.column_stack([rows, np.ones(len(rows))]) for rows in (X, Z))
    X, Z = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, Z))
    if task.classes:
        names = np.unique(y)
        return X, *(2.0 * (part[:, np.newaxis] == names) - 1 for part in (y,)), Z, 2.0 * (labels[:, None] == names) - 1
    mean, spread = y.mean(), y.std()
    return X, (y[:, np.newaxis] - mean) / spread, Z, (labels[:, np.newaxis] - mean) / spread


def _error(task: Task, values: Array, labels: Array) -> float:
    if task.classes:
        return float(np.mean(values.argmax(axis=1) != labels.argmax(axis=1)))
    return float(np.sqrt(np.mean((values - labels) ** 2)) / labels.std())


def _selected(
    task: Task, X: Array, y: Array, candidates: Callable[..., Iterator[tuple[Any, Fit]]], order: npt.NDArray[np.int64]
) -> tuple[Fit, Any]:
    """The candidate with the least error on a quarter of the rows, of equals the nearest values, fitted to all."""
    cut = int(_HELD_OUT * len(X))
    held, kept = order[:cut], order[cut:]
    tried = []
    for choice, fit in candidates(task, X[kept], y[kept]):
        values = fit(X[held])
        tried.append((_error(task, values, y[held]), float(np.mean((values - y[held]) ** 2)), choice))
    best = min(tried, key=lambda trial: trial[:2])[2]
    return next(fit for choice, fit in candidates(task, X, y, only=best)), best


def _squared_fits(task: Task, X: Array, y: Array, only: Any = None) -> Iterator[tuple[Any, Fit]]:
    """Squared loss with every depth and penalty: one eigendecomposition a depth."""
    rows = as_ball_rows(X)
    for depth in DEPTHS if only is None else [only[0]]:
        spectrum, vectors = np.linalg.eigh(kernel_values(rows, None, depth))
        along = vectors.T @ y
        kept: list[Array] = []  # the values at the rows asked for last: they are the same for all penalties
        for penalty in PENALTIES if only is None else [only[1]]:
            alpha = vectors @ (along / (np.maximum(spectrum, 0) + len(X) * penalty)[:, np.newaxis])
            yield (depth, penalty), _predictor(rows, depth, alpha, kept)


def _hinge_fits(task: Task, X: Array, y: Array, only: Any = None) -> Iterator[tuple[Any, Fit]]:
    """Hinge loss with every depth and radius, one against the rest; of two classes the second."""
    rows = as_ball_rows(X)
    labels = y[:, 1:] if y.shape[1] == 2 else y
    for depth in DEPTHS if only is None else [only[0]]:
        K = kernel_values(rows, None, depth)
        kept: list[Array] = []
        for radius in RADII if only is None else [only[1]]:
            alpha = hinge_ball(K, labels, radius).coefficients
            both = np.hstack([-alpha, alpha]) if y.shape[1] == 2 else alpha
            yield (depth, radius), _predictor(rows, depth, both, kept)


def _predictor(rows: Array, depth: float, alpha: Array, kept: list[Array]) -> Fit:
    def predict(Z: Array) -> Array:
        if not kept:
            kept.append(kernel_values(as_ball_rows(Z), rows, depth))
        return np.asarray(kept[0] @ alpha)

    return predict


def _perceptrons(task: Task, X: Array, y: Array, only: Any = None) -> Iterator[tuple[Any, Fit]]:
    networks = _sklearn("neural_network", "the rival")
    target = y.argmax(axis=1) if task.classes else y[:, 0]
    kind = networks.MLPClassifier if task.classes else networks.MLPRegressor
    for layers, alpha in RIVALS if only is None else [only]:
        network = kind(hidden_layer_sizes=layers, alpha=alpha, max_iter=300, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged after 300 epochs
            network.fit(X * np.sqrt(X.shape[1]), target)
        yield (layers, alpha), _perceptron(network, task, y.shape[1])


def _perceptron(network: Any, task: Task, width: int) -> Fit:
    def predict(Z: Array) -> Array:
        found = network.predict(Z * np.sqrt(Z.shape[1]))
        return np.eye(width)[found] if task.classes else np.asarray(found)[:, np.newaxis]

    return predict


def _sklearn(module: str, purpose: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{purpose} needs scikit-learn; install it with: pip install 'fastmom[sklearn]'"
        ) from error
