"""fastmom: learn one-hidden-layer networks from samples, exactly where labels are exact, with a certificate.

Names are loaded on first use: importing the package compiles nothing and does not import Numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastmom.activations import Activation as Activation
    from fastmom.comparison import Comparison as Comparison
    from fastmom.comparison import compare as compare
    from fastmom.learners.auto import learn as learn
    from fastmom.learners.landscape import learn_landscape as learn_landscape
    from fastmom.learners.narrow import learn_narrow as learn_narrow
    from fastmom.learners.rectified import learn_rectified as learn_rectified
    from fastmom.learners.symmetric import learn_symmetric as learn_symmetric
    from fastmom.moments.accumulator import MomentAccumulator as MomentAccumulator
    from fastmom.moments.contraction import contract as contract
    from fastmom.moments.contraction import contract_matrix as contract_matrix
    from fastmom.moments.hermite import hermite_residual as hermite_residual
    from fastmom.moments.tensors import small_tensor as small_tensor
    from fastmom.network import TwoLayerNetwork as TwoLayerNetwork
    from fastmom.network import load as load
    from fastmom.result import Certificate as Certificate
    from fastmom.result import FitResult as FitResult
    from fastmom.result import Unidentified as Unidentified
    from fastmom.rkhs.norms import network_norm_bound as network_norm_bound
    from fastmom.rkhs.products import kernel_matmul as kernel_matmul
    from fastmom.rkhs.products import recursive_kernel as recursive_kernel
    from fastmom.teachers import make_samples as make_samples
    from fastmom.teachers import random_teacher as random_teacher
    from fastmom.teachers import sample_inputs as sample_inputs

_HOMES = {
    "Activation": "activations",
    "Certificate": "result",
    "Comparison": "comparison",
    "FitResult": "result",
    "MomentAccumulator": "moments.accumulator",
    "TwoLayerNetwork": "network",
    "Unidentified": "result",
    "compare": "comparison",
    "contract": "moments.contraction",
    "contract_matrix": "moments.contraction",
    "hermite_residual": "moments.hermite",
    "kernel_matmul": "rkhs.products",
    "learn": "learners.auto",
    "learn_landscape": "learners.landscape",
    "learn_narrow": "learners.narrow",
    "learn_rectified": "learners.rectified",
    "learn_symmetric": "learners.symmetric",
    "load": "network",
    "make_samples": "teachers",
    "network_norm_bound": "rkhs.norms",
    "random_teacher": "teachers",
    "recursive_kernel": "rkhs.products",
    "sample_inputs": "teachers",
    "small_tensor": "moments.tensors",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fastmom")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"fastmom.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fastmom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
