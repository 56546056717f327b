"""Sums of arrays without round-off: the same bits in whatever order and grouping the terms come.

A sum is a tuple of arrays whose entries add up to it exactly (an expansion: Shewchuk 1997, "Adaptive precision
floating-point arithmetic and fast robust geometric predicates"). Rounding happens once, when it is read.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Expansion = tuple[Array, ...]


def add(expansion: Expansion, term: Array) -> Expansion:
    """A sum with one more term, exactly.

    Each component takes in what the one before it rounded off (two-sum: Knuth, The Art of Computer Programming,
    volume 2, section 4.2.2); a component is added only for what the last one rounds off. An overflow leaves an
    infinity in the first component.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmom.moments.exact_sum import add, rounded
    >>> terms = [np.array([t]) for t in (1e16, 1.0, -1e16)]
    >>> rounded(add(add(add((), terms[0]), terms[1]), terms[2]))
    array([1.])
    """
    grown = []
    with np.errstate(over="ignore", invalid="ignore"):
        for component in expansion:
            total = component + term
            rest = total - component
            term = (component - (total - rest)) + (term - rest)
            grown.append(total)
    return (*grown, term) if not grown or term.any() else tuple(grown)


def rounded(expansion: Expansion) -> Array:
    """The exact sum, rounded to the nearest float; a zero is positive.

    Raises
    ------
    ValueError
        For the sum of no terms, whose shape is unknown.
    """
    if not expansion:
        raise ValueError("expansion: has no terms; add one")
    sums = map(math.fsum, zip(*(component.ravel().tolist() for component in expansion), strict=True))
    return np.fromiter(sums, dtype=np.float64, count=expansion[0].size).reshape(expansion[0].shape)
