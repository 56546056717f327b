"""The least-squares optimum among sums of k kinks: starts on a part of the rows, splits, and the rectifiers' form."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fastmom.patterns.kink_descent import EVEN, RECTIFIED, KinkFit, KinkPoint, KinkRows, descend, evaluate, start
from fastmom.patterns.majority import ENOUGH, exact_share
from fastmom.runtime import progress

Array = npt.NDArray[np.float64]

EXACT = 1e-24  # share of the labels' sum of squares that exact labels leave
ROWS_PER_UNKNOWN = 6  # rows on which a start is brought to rest before all count
STARTS = 24  # at most
DRAWS = 3  # of a random start, of which the best goes on to more rows
PROMISING = 1e-3  # share of the squared labels below which a draw is good enough
PATIENT = 150  # starts, where labels are known to be exact
FEWEST = 4  # starts before two that agree may be the optimum
SAME_LOSS = 10.0  # label variances by which the losses of one optimum differ on their way through the patterns
SIDES = 4  # ways to share out the linear part that are tried
_TWIN = 1e-6  # angle of kinks that are one
_NO_EFFECT = 1e-6  # size of a kink relative to the largest that is none
_NEAR_BOUNDARY = 0.15  # share of the rows nearest to a kink that show how it splits


def exact(rows: KinkRows, point: KinkPoint) -> bool:
    """Whether nothing but round-off is left of the labels."""
    return point.loss <= EXACT * rows.energy


class KinkSearch:
    """The best sum of k kinks so far, and how many starts led to it.

    Parameters
    ----------
    rows : KinkRows
        All rows.
    k : int
        Kinks.
    rng : numpy.random.Generator
        Draws the starts.
    """

    def __init__(self, rows: KinkRows, k: int, rng: np.random.Generator) -> None:
        self.rows, self.k, self._rng = rows, k, rng
        few = ROWS_PER_UNKNOWN * (k + 1) * rows.X.shape[1]
        parts = [rows.part(few << shift) for shift in (0, 2)]
        self._parts = [part for part in parts if part is not rows] + [rows]
        self.fit: KinkFit | None = None
        self._losses: list[float] = []

    @property
    def starts(self) -> int:
        """Starts so far."""
        return len(self._losses)

    @property
    def exact(self) -> bool:
        """Whether the best one reproduces all labels."""
        return self.fit is not None and exact(self.rows, self.fit.point)

    @property
    def agreed(self) -> bool:
        """Whether two starts reached the lowest loss."""
        if self.fit is None:
            return False
        limit = self.fit.point.loss * (1 + SAME_LOSS / len(self.rows.X))
        return sum(loss <= limit for loss in self._losses) > 1

    @property
    def best(self) -> KinkFit:
        """The fit of lowest loss."""
        assert self.fit is not None
        return self.fit

    def random(self, most: int) -> None:
        """Random starts, until one is exact, or two agree after some; `most` at most."""
        for _ in range(most):
            if self.exact or (self.starts >= FEWEST and self.agreed):
                return
            self._climb(self._best_draw())

    def patient(self) -> None:
        """Many random starts, until one is exact, where the best fit is not but shows that the labels are."""
        while not self.exact and self.starts < PATIENT:
            self._climb(self._best_draw())

    def _best_draw(self) -> KinkFit:
        """The best of a few random draws, each brought to rest on the smallest part of the rows."""
        part, best = self._parts[0], None
        for _ in range(DRAWS):
            progress.report("fitting kinks")
            B = self._rng.standard_normal((self.k, self.rows.root.shape[1])) @ self.rows.root.T
            fit = descend(part, start(part, B), settled=1.0)
            if best is None or fit.point.loss < best.point.loss:
                best = fit
            if best.point.loss < PROMISING * part.energy:
                break
        assert best is not None
        return best

    def propose(self, B: Array, signs: Array, v: Array) -> None:
        """Descend from a network, on the smallest part of the rows first."""
        progress.report("fitting kinks")
        part = self._parts[0]
        self._climb(descend(part, evaluate(part, EVEN, B, signs, v), settled=1.0))

    def _climb(self, fit: KinkFit) -> None:
        """Descend on larger and larger parts of the rows, up to all."""
        for part in self._parts[1:]:
            point = evaluate(part, EVEN, fit.point.B, fit.point.signs, fit.point.v)
            fit = descend(part, point, settled=1.0)
        self._keep(fit)

    def refine(self, B: Array, signs: Array, v: Array) -> None:
        """Descend on all rows from a network that is nearly right."""
        self._keep(self._on_all(B, signs, v))

    def _on_all(self, B: Array, signs: Array, v: Array) -> KinkFit:
        return descend(self.rows, evaluate(self.rows, EVEN, B, signs, v), settled=1.0)

    def _keep(self, fit: KinkFit) -> None:
        self._losses.append(fit.point.loss)
        if self.fit is None or fit.point.loss < self.fit.point.loss:
            self.fit = fit

    def split(self, fewer: KinkPoint, count: int = 2) -> None:
        """Starts from k - 1 kinks of which one is split, for each of them along its `count` likeliest directions."""
        for j in range(len(fewer.B)):
            for e in split_directions(self.rows, fewer, j, count):
                if self.exact:
                    return
                half = fewer.B[j] / 2
                B = np.vstack([np.delete(fewer.B, j, axis=0), half + e, half - e])
                signs = np.append(np.delete(fewer.signs, j), [fewer.signs[j]] * 2)
                self.refine(B, signs, fewer.v)


def hides_exact_labels(rows: KinkRows, point: KinkPoint) -> bool:
    """Whether labels are exact although this optimum does not meet them."""
    rows = rows.part(ENOUGH)
    gates = np.column_stack([np.ones(len(rows.X)), np.where(rows.X @ point.B.T > 0, 1.0, -1.0)])
    residuals = rows.y - np.einsum("ij,ij->i", gates, rows.X @ point.unknowns.T)
    return exact_share(rows.X @ rows.root, residuals[:, None], gates) > 0


def split_directions(rows: KinkRows, point: KinkPoint, j: int, count: int) -> Array:
    """Directions (count, d) along which kink j may be two, of a size that a tenth of a radian apart makes.

    Two kinks b + e and b - e differ from 2b in a wedge about b.x = 0 only, by |e.x| less distance: the eigenvectors of
    E[r 1{|b.x| < h} (x x^T - I)], r the residual, in coordinates across b, show e. Our own form.
    """
    t = np.abs(rows.X @ point.B[j])
    near = np.argpartition(t, int(_NEAR_BOUNDARY * len(t)))[: max(1, int(_NEAR_BOUNDARY * len(t)))]
    near.sort()
    T = rows.X[near] @ point.B.T
    r = rows.y[near] - rows.X[near] @ point.v - np.abs(T) @ point.signs
    r -= r.mean()
    Z = rows.X[near] @ rows.root
    b = point.B[j] @ rows.back.T
    size = float(np.linalg.norm(b))
    Z -= np.outer(Z @ b, b / size**2)
    _, vectors = np.linalg.eigh(point.signs[j] * ((Z * r[:, None]).T @ Z))
    return np.asarray(0.025 * size * (vectors[:, ::-1][:, :count].T @ rows.root.T))


def without(point: KinkPoint, j: int) -> tuple[Array, Array, Array]:
    """B, signs and v of the point without kink j."""
    return np.delete(point.B, j, axis=0), np.delete(point.signs, j), point.v


def merged(point: KinkPoint, rows: KinkRows) -> tuple[Array, Array, Array]:
    """B, signs and v of the point with the two kinks nearest to each other replaced by their sum."""
    units = point.B @ rows.back.T
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, 0.0)
    i, j = sorted(np.unravel_index(int(np.argmax(np.abs(cosines))), cosines.shape))
    c = point.signs[i] * point.B[i] + np.sign(cosines[i, j]) * point.signs[j] * point.B[j]
    sign = -1.0 if c @ point.B[i] < 0 else 1.0
    B, signs, v = without(point, int(j))
    B[i], signs[i] = sign * c, sign
    return B, signs, v


def simplified(rows: KinkRows, fit: KinkFit) -> KinkFit:
    """An exact fit without kinks of no effect, and with twins merged, as long as it stays exact."""
    while len(fit.point.B) > 1:
        sizes = np.linalg.norm(fit.point.B @ rows.back.T, axis=1)
        units = (fit.point.B @ rows.back.T) / sizes.clip(min=1e-300)[:, None]
        twins = np.linalg.norm(units[:, None] - units * np.sign(units @ units.T)[:, :, None], axis=2)
        np.fill_diagonal(twins, np.inf)
        if sizes.min() < _NO_EFFECT * sizes.max():
            fewer = without(fit.point, int(np.argmin(sizes)))
        elif twins.min() < _TWIN:
            fewer = merged(fit.point, rows)
        else:
            return fit
        trial = descend(rows, evaluate(rows, EVEN, *fewer))
        if not exact(rows, trial.point):
            return fit
        fit = trial
    return fit


def rectified(rows: KinkRows, point: KinkPoint) -> KinkFit:
    """The best fit by as many rectifiers and no linear part, from kinks.

    The active sides e in {-1, 1}^k that leave least of ``v - sum_j e_j s_j b_j`` are tried, then all d k weights
    descend together: fewer unknowns than with a linear part of their own.
    """
    none = np.zeros_like(point.v)
    starts = (evaluate(rows, RECTIFIED, W, point.signs, none) for W in _oriented(rows, point))
    fits = [descend(rows, one, slope=RECTIFIED, linear=False) for one in starts]
    return min(fits, key=lambda fit: fit.point.loss)


def _oriented(rows: KinkRows, point: KinkPoint) -> Iterable[Array]:
    """Weights 2 e_j b_j (k, d) for the likeliest sides, best first; others only where they are nearly as good."""
    vectors = point.signs[:, None] * point.B @ rows.back.T
    target = point.v @ rows.back.T
    choices = np.array(list(itertools.product([1.0, -1.0], repeat=len(vectors))))
    left = np.linalg.norm(choices @ vectors - target, axis=1)
    order = np.argsort(left, kind="stable")[:SIDES]
    close = left[order] < 2 * left[order[0]] + 1e-9 * np.linalg.norm(target)
    for choice in choices[order[close]]:
        yield 2 * choice[:, None] * point.B
