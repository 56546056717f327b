"""What predicts: a function of the kernel's space, or the classes it speaks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.classes import decide
from fastmom.rkhs.products import as_ball_rows, product_with
from fastmom.runtime.files import read_npz, write_npz
from fastmom.runtime.threads import single_blas_thread

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KernelModel:
    """The function ``f(x) = sum_i coefficients[i] K_depth(points[i], x / scale)``.

    Attributes
    ----------
    points : ndarray (r, d)
        In the unit ball.
    coefficients : ndarray (r, q)
    depth, scale : float
        Of the kernel; what inputs are divided by.
    names : ndarray (c,) or None
        Classes, in sorted order; None for a regression.
    """

    points: Array
    coefficients: Array
    depth: float
    scale: float = 1.0
    names: npt.NDArray[Any] | None = None

    def values(self, X: Any) -> Array:
        """Values f(x) (n, q), streamed.

        Raises
        ------
        ValueError, TypeError
            For inputs of another dimension, outside the ball of radius `scale`, or not finite real numbers.
        """
        rows = as_ball_rows(X, scale=self.scale, dtype=self.points.dtype)
        if rows.shape[1] != self.points.shape[1]:
            raise ValueError(f"X: has {rows.shape[1]} columns, the model takes {self.points.shape[1]}")
        with single_blas_thread():
            return product_with(rows, self.points, self.coefficients, self.depth)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Values (n, q), or the class (n,) of each row after learning from classes."""
        values = self.values(X)
        return values if self.names is None else decide(self.names, values)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one `.npz` file, whole or not at all."""
        arrays: dict[str, npt.NDArray[Any]] = {"points": self.points, "coefficients": self.coefficients}
        if self.names is not None:
            arrays["names"] = self.names
        header = {"kind": "kernel model", "version": 1, "depth": self.depth, "scale": self.scale}
        write_npz(path, arrays, header)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KernelModel:
        """Read a model that `save` wrote.

        Raises
        ------
        ValueError
            If the file holds no such model.
        """
        header, arrays = read_npz(path, kind="kernel model")
        points = np.ascontiguousarray(arrays["points"])
        points.flags.writeable = False
        names = arrays.get("names")
        return cls(points, arrays["coefficients"], float(header["depth"]), float(header["scale"]), names)
