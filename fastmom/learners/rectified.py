"""Rectified networks: Bakshi, Jayaram and Woodruff 2018, arXiv 1811.01885."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np

from fastmom.activations import Activation
from fastmom.learners.problem import fit_result, read_problem
from fastmom.learners.rectified_routes import recover
from fastmom.patterns.model import label_scale
from fastmom.result import FitResult
from fastmom.runtime.threads import single_blas_thread
from fastmom.runtime.validation import as_choice, as_rng

VARIANTS = ("auto", "snap", "even_odd", "moments", "ica", "enumerate")
NOISE = ("auto", "none", "gaussian", "gross")


def learn_rectified(
    X: Any,
    Y: Any,
    n_hidden: int | None = None,
    *,
    variant: Literal["auto", "snap", "even_odd", "moments", "ica", "enumerate"] = "auto",
    bias: bool | Literal["hidden", "output"] = False,
    noise: Literal["auto", "none", "gaussian", "gross"] = "auto",
    activation: str | Activation = "relu",
    rng: int | np.random.Generator | None = None,
) -> FitResult:
    """Recover the network Y = A f(X W^T + b) + c from its labels, f a rectifier, from any number of outputs.

    Exact labels of at least as many outputs as neurons: SNAP (`fastmom.patterns.snap`) on a sample of rows, a Newton
    finish, then one pass that verifies the network on all rows. Fewer outputs, down to one: the even/odd model
    (`fastmom.patterns.even_odd`), certified by counting equations. Any input law; no moments. Noisy labels: from such
    starts to the least-squares optimum on all rows, of any number of outputs.

    Under noise nothing is certified: ``success`` then means that independent starts agreed on a least-squares optimum
    whose residual no longer depends on the inputs, not that the network is the one that made the labels. How far each
    weight is determined say ``diagnostics["standard_errors"]`` (Gaussian noise of equal size in all outputs), and a
    number of neurons that was not given is the one of least Bayesian information criterion.

    Parameters
    ----------
    X : array_like (n, d)
        Inputs; arrays and memory maps of any real dtype are read in place.
    Y : array_like (n, m) or (n,)
        Labels.
    n_hidden : int, optional
        Number of neurons k; found from the labels if None.
    variant : {"auto", "snap", "even_odd", "moments", "ica", "enumerate"}
        "auto" takes what fits the labels and falls back, at last on a student trained by L-BFGS; the result's
        ``variant`` says which route it was. "moments": Gaussian inputs, second moments of several outputs or the
        fourth of one (k <= d). "ica": Gaussian inputs and orthonormal hidden weights, independent components of the
        labels (k <= m). "enumerate": any inputs, trials of label rows (k <= m, k <= 18), or for one neuron of one
        output and at most 3 inputs (a hidden bias counts), or two and at most 2, all activation patterns: the global
        optimum of noisy labels.
    bias : {False, True, "hidden", "output"}
        Which biases the network may have; True means both.
    noise : {"auto", "none", "gaussian", "gross"}
        "none": exact labels only. "gaussian": least squares at once. "gross": labels exact but for a share of the
        rows, less than half, where anything may stand. "auto": exact if that succeeds, else least squares, and wrong
        rows if its residuals look like them.
    activation : str or Activation
        "relu" or "leaky_relu(slope)", the slope known; from exact labels also "relu^p" and the other rectified ones
        (k <= m).
    rng : int, Generator or None
        Same value, same bits.

    Returns
    -------
    FitResult
        ``status`` is "recovered" (exact, certified), "least_squares" (noisy labels, optimum reached),
        "global_optimum" (the same by enumeration), or says what failed: "uncertified", "too_few_rows",
        "too_few_outputs", "too_large", "rank_deficient", "rank_excess", "no_neurons_found", "incomplete",
        "no_exact_fit", "residual", "misfit", "no_signal", "not_converged", "not_applicable". Weight vectors have unit
        norm, the scale is in A.

    Raises
    ------
    ValueError, TypeError
        For input that is not two aligned arrays of finite real numbers, or options that do not exist.

    References
    ----------
    .. [1] A. Bakshi, R. Jayaram, D. Woodruff, "Learning two layer rectified neural networks in polynomial time",
       2018, arXiv 1811.01885. The canonical-correlation step (SNAP) is our own form of its exact step, and the
       even/odd model is our own.

    Examples
    --------
    >>> import fastmom as fm
    >>> teacher = fm.random_teacher(10, 4, 5, rng=0)
    >>> X, Y = fm.make_samples(teacher, 200, rng=1)
    >>> result = fm.learn_rectified(X, Y, rng=2)
    >>> result.status, result.certificate.certified, fm.compare(result, teacher).max_error < 1e-12
    ('recovered', True, True)
    """
    as_choice(variant, "variant", VARIANTS)
    as_choice(noise, "noise", NOISE)
    generator, seed = as_rng(rng)
    generator = generator.spawn(1)[0]  # never the stream that drew a teacher from the same seed
    rows, kind = read_problem(X, Y, n_hidden, bias, activation)
    started = time.perf_counter()
    with single_blas_thread():
        outcome = recover(rows, kind, label_scale(rows), noise, generator, variant)
    outcome.timings["total"] = time.perf_counter() - started
    return fit_result(outcome, "rectified", outcome.variant, seed)
