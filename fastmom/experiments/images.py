"""Two generators of small images whose classes a linear function does not tell apart, after Larochelle et al. 2007.

"An empirical evaluation of deep architectures on problems with many factors of variation", ICML 2007: `rectangles` as
there; `convex` in the same manner with details of our own, so its errors do not compare with published ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastmom.runtime.validation import as_count, as_rng

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Masks = npt.NDArray[np.bool_]

SIDE = 28
_LEAST_SIDE, _LEAST_DIFFERENCE = 2, 3  # four corners; and as there
_HALF_PLANES = 3, 7  # fewest, most + 1
_PARTS = 2, 4  # of a union, fewest, most + 1
_AREAS = np.array([60, 120, 180, 240, 300, 360])  # edges of the bins in which both classes have equally many images
_MISSING = 12  # pixels of the hull that a non-convex image must miss
_BATCH = 512
_DIRECTIONS = 64


def rectangles(n: int, rng: int | np.random.Generator | None = None) -> tuple[Array, Labels]:
    """Outlines of rectangles, one pixel wide: those that are taller than wide against the others.

    Parameters
    ----------
    n : int
        Number of images.
    rng : None, int or Generator
        Source of sizes and places. Sides have 2 to 28 pixels and differ by at least 3.

    Returns
    -------
    X : ndarray (n, 784)
        Images of 28 x 28 pixels, 0 or 1.
    y : ndarray of int (n,)
        1 for tall, 0 for wide.

    Examples
    --------
    >>> from fastmom.experiments.images import rectangles
    >>> X, y = rectangles(100, rng=0)
    >>> X.shape
    (100, 784)
    """
    count = as_count(n, "n")
    generator, _ = as_rng(rng)
    sides = np.arange(_LEAST_SIDE, SIDE + 1)
    sizes = np.array([(h, w) for h in sides for w in sides if abs(h - w) >= _LEAST_DIFFERENCE])
    chosen = sizes[generator.integers(len(sizes), size=count)]
    corners = generator.integers(0, SIDE - chosen + 1)
    images = np.zeros((count, SIDE, SIDE))
    for image, (top, left), (h, w) in zip(images, corners, chosen, strict=True):
        image[top : top + h, [left, left + w - 1]] = 1.0
        image[[top, top + h - 1], left : left + w] = 1.0
    return images.reshape(count, -1), (chosen[:, 0] > chosen[:, 1]).astype(np.int64)


def convex(n: int, rng: int | np.random.Generator | None = None) -> tuple[Array, Labels]:
    """White regions: convex ones against others.

    A convex region is the intersection of 3 to 6 half-planes through uniform points of the image; the others are
    unions of 2 or 3 of them whose convex hull has at least 12 pixels more. Both classes have the same distribution of
    areas.

    Parameters
    ----------
    n : int
        Number of images.
    rng : None, int or Generator
        Source of the half-planes.

    Returns
    -------
    X : ndarray (n, 784)
        Images of 28 x 28 pixels, 0 or 1.
    y : ndarray of int (n,)
        1 for convex.

    Examples
    --------
    >>> from fastmom.experiments.images import convex
    >>> X, y = convex(20, rng=0)
    >>> int(y.sum())
    10
    """
    count = as_count(n, "n")
    generator, _ = as_rng(rng)
    whole = _balanced(count // 2, _whole, generator)
    union = _balanced(count - count // 2, _unions, generator)
    order = generator.permutation(count)
    y = np.r_[np.ones(len(whole), dtype=np.int64), np.zeros(len(union), dtype=np.int64)]
    return np.concatenate([whole, union]).astype(np.float64)[order], y[order]


def _balanced(n: int, draw: Callable[[np.random.Generator], Masks], rng: np.random.Generator) -> Masks:
    """Draw images until every bin of areas has its share of n."""
    bins = len(_AREAS) - 1
    quota = np.full(bins, n // bins) + (np.arange(bins) < n % bins)
    kept: list[Masks] = []
    while quota.any():
        images = draw(rng)
        place = np.searchsorted(_AREAS, images.sum(axis=1), side="right") - 1
        for b in np.flatnonzero(quota):
            found = images[place == b][: quota[b]]
            kept.append(found)
            quota[b] -= len(found)
    return np.concatenate(kept) if kept else np.zeros((0, SIDE * SIDE), dtype=bool)


def _pixels() -> Array:
    """Centres (784, 2) of the pixels."""
    return np.asarray(np.indices((SIDE, SIDE)).reshape(2, -1).T + 0.5, dtype=np.float64)


def _regions(rng: np.random.Generator) -> Masks:
    """A batch (b, 784) of intersections of half-planes, possibly empty."""
    most = _HALF_PLANES[1] - 1
    angles = rng.uniform(0, 2 * np.pi, (_BATCH, most))
    points = rng.uniform(0, SIDE, (_BATCH, most, 2))
    normals = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    inside = normals @ _pixels().T > np.sum(normals * points, axis=-1, keepdims=True)
    unused = np.arange(most) >= rng.integers(*_HALF_PLANES, (_BATCH, 1))
    return np.asarray((inside | unused[:, :, np.newaxis]).all(axis=1))


def _whole(rng: np.random.Generator) -> Masks:
    """A batch of regions, without those that pixels render so badly that they could be unions."""
    regions = _regions(rng)
    regions = regions[regions.sum(axis=1) >= _AREAS[0]]
    return regions[_hull_area(regions) - regions.sum(axis=1) < _MISSING]


def _unions(rng: np.random.Generator) -> Masks:
    """A batch of unions of regions that are not convex."""
    regions = _regions(rng)
    regions = regions[regions.sum(axis=1) >= _MISSING]
    parts = int(rng.integers(*_PARTS))
    n = len(regions) // parts
    union = regions[: n * parts].reshape(n, parts, -1).any(axis=1)
    return union[_hull_area(union) - union.sum(axis=1) >= _MISSING]


def _hull_area(images: Masks) -> Labels:
    """Pixels of the convex hull of each image, by its supporting lines in many directions."""
    angles = 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    heights = _pixels() @ np.stack([np.cos(angles), np.sin(angles)])
    area = np.empty(len(images), dtype=np.int64)
    for number, image in enumerate(images):
        support = heights[image].max(axis=0)
        area[number] = (heights <= support + 1e-9).all(axis=1).sum()
    return area
