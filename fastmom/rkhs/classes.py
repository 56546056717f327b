"""Labels that are classes: what solvers take, and what values of a function say about the class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmom.rkhs.logistic_loss import probabilities

Array = npt.NDArray[np.float64]

_MOST = 1000  # classes; more of them are numbers


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of some labels, in sorted order.

    Attributes
    ----------
    names : ndarray (c,)
        At least two, of the labels' own type.
    codes : ndarray of int (n,)
        The class of each row, as an index into the names.
    """

    names: npt.NDArray[Any]
    codes: npt.NDArray[np.int64]

    def columns(self, loss: str) -> Array:
        """Labels for a solver: of two classes one column, -1 and 1; of more a column each, 0 and 1, or -1 and 1.

        Parameters
        ----------
        loss : {"logistic", "hinge", "squared"}
            Softmax takes 0 and 1, one class against the rest -1 and 1.
        """
        if len(self.names) == 2:
            return np.where(self.codes[:, np.newaxis] == 1, 1.0, -1.0)
        own = self.codes[:, np.newaxis] == np.arange(len(self.names))
        return own.astype(np.float64) if loss == "logistic" else np.where(own, 1.0, -1.0)

    def predict(self, values: Array) -> npt.NDArray[Any]:
        """Names (n,) of the classes that values (n, q) speak for."""
        return decide(self.names, values)

    def probabilities(self, values: Array) -> Array:
        """Probabilities (n, c) of the classes under the logistic loss."""
        P = probabilities(values)
        return np.hstack([1 - P, P]) if values.shape[1] == 1 else P


def decide(names: npt.NDArray[Any], values: Array) -> npt.NDArray[Any]:
    """Names of the classes: of two the second where the value is positive, of more the one of the largest value."""
    if values.shape[1] == 1:
        return np.asarray(names[(values[:, 0] > 0).astype(np.int64)])
    return np.asarray(names[values.argmax(axis=1)])


def read_classes(y: Any, n_rows: int, name: str = "Y") -> Classes:
    """Read one class for each row: integers, booleans, strings, or whole floats.

    Raises
    ------
    ValueError
        For another number of rows, more than one column, NaN, numbers that are not whole, a single class, or more than
        1000 of them.
    TypeError
        For entries that are neither numbers nor strings.

    Examples
    --------
    >>> from fastmom.rkhs.classes import read_classes
    >>> read_classes(["cat", "dog", "cat"], 3).columns("hinge").ravel()
    array([-1.,  1., -1.])
    """
    labels = _one_column(y, name)
    if len(labels) != n_rows:
        raise ValueError(f"{name}: has {len(labels)} rows, the inputs {n_rows}; pass one class for each")
    if labels.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(labels) & (np.floor(labels) == labels)))
        if len(bad):
            i = int(bad[0])
            raise ValueError(f"{name}[{i}] is {labels[i]:g}, no class; loss='squared' is for labels that are numbers")
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{name}: all rows have the class {names[0]!r}; pass rows of at least two classes")
    if len(names) > _MOST:
        raise ValueError(f"{name}: has {len(names)} different labels; loss='squared' is for labels that are numbers")
    return Classes(names, codes.reshape(-1).astype(np.int64))


def _one_column(y: Any, name: str) -> npt.NDArray[Any]:
    """Labels as an array (n,) of booleans, numbers or strings."""
    if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
        raise ValueError(f"{name}: has masked entries; drop these rows")
    if hasattr(y, "toarray") and hasattr(y, "nnz"):
        raise TypeError(f"{name}: is a sparse matrix; pass one class for each row")
    try:
        labels = np.asarray(y)
    except (ValueError, TypeError, RuntimeError) as error:
        raise type(error)(f"{name}: cannot be read as an array ({error}); pass one class for each row") from None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"{name}: expected one class for each row, got shape {labels.shape}; pass a 1-D array")
    if labels.dtype.kind == "O":
        kinds = {str if isinstance(entry, str) else type(entry) for entry in labels}
        if kinds != {str} and not all(issubclass(kind, int | float | np.number | np.bool_) for kind in kinds):
            found = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise TypeError(f"{name}: expected classes of one type, integers or strings, got {found}")
        labels = labels.astype(np.str_ if kinds == {str} else np.float64)
    if labels.dtype.kind not in "biufUS":
        raise TypeError(f"{name}: expected integers or strings, got dtype {labels.dtype}; convert the classes")
    return labels
