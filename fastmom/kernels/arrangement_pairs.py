"""Sweeps through all pairs of activation patterns of two neurons of two inputs.

The patterns of one neuron are the N = 2n cells between the directions r_e at which a row changes sides, cell e lying
between r_e and r_(e+1). Half a turn from cell a meets every row once, so the n cells ahead of every a make all pairs.
With G_a, c_a the normal equations of cell a, D the sum of x x^T over rows active in a alone and E over rows active in b
alone, what the rows of a add to the fit of b is S = D + E - E G_b^-1 E, with right side
t = c_D - c_E + E G_b^-1 c_b, and the pair explains c_b^T G_b^-1 c_b + t^T S^-1 t of the labels. D and E grow
from zero and change by one row at a time: no sum ever shrinks, which would cost precision where the two patterns are
nearly the same.

An optimum lies inside both cells, or one or both neurons lie on a ray r_e, where only their size is free: four
problems for each pair, the last three only if the first, which bounds them, could beat the best so far.
"""

from numba import prange

from fastmom.kernels._compile import block, driver

SINGULAR = 1e-12  # relative pivot below which two patterns do not determine a point
CANCELLED = 1e-3  # share of a sum below which a difference is summed anew: few rows are left then
SLACK = 1e-13  # relative round-off allowed for before a pair is passed over
# columns of the cells: G (3), c (2), inverse of G (3), its solution (2), what it explains, whether it is determined
G, C, H, U, EXPLAINED, DETERMINED = 0, 3, 5, 8, 10, 11
# columns of the events: direction r (2), x x^T (3), y x (2), whether the row enters
R, Q, Z, ENTERS = 0, 2, 5, 7
CELLS, RAY_CELL, CELL_RAY, RAYS = 0, 1, 2, 3  # where the first and the second neuron lie


@block
def _form(g00, g01, g11, u0, u1, v0, v1):
    """u^T G v."""
    return u0 * (g00 * v0 + g01 * v1) + u1 * (g01 * v0 + g11 * v1)


@block
def _in_cell(events, cell, u0, u1):
    """Whether u or -u lies inside the cell."""
    following = cell + 1 if cell + 1 < events.shape[0] else 0
    first = events[cell, R] * u1 - events[cell, R + 1] * u0
    second = u0 * events[following, R + 1] - u1 * events[following, R]
    return first * second > 0


@block
def _keep(value, b, place, best):
    best[0], best[1], best[2] = value, b, place


@block
def _rest(d, e, cell):
    """S of a neuron beside the given cell (3): d + e - e G^-1 e, for d active in it alone and e in the cell alone."""
    h00, h01, h11 = cell[H], cell[H + 1], cell[H + 2]
    w00, w01 = e[0] * h00 + e[1] * h01, e[0] * h01 + e[1] * h11
    w10, w11 = e[1] * h00 + e[2] * h01, e[1] * h01 + e[2] * h11
    return (
        d[0] + (e[0] - (w00 * e[0] + w01 * e[1])),
        d[1] + (e[1] - (w00 * e[1] + w01 * e[2])),
        d[2] + (e[2] - (w10 * e[1] + w11 * e[2])),
    )


@block
def _ray_beside_cell(ray, cell, cells, events, common, rest, pull, least):
    """What a neuron on a ray and one inside a cell explain; -1 if that does not lie in the cell."""
    r0, r1 = events[ray, R], events[ray, R + 1]
    s = _form(rest[0], rest[1], rest[2], r0, r1, r0, r1)
    if not s > least:
        return -1.0
    t = r0 * pull[0] + r1 * pull[1]
    k0, k1 = common[0] * r0 + common[1] * r1, common[1] * r0 + common[2] * r1
    h00, h01, h11 = cells[cell, H], cells[cell, H + 1], cells[cell, H + 2]
    u0 = cells[cell, U] - t / s * (h00 * k0 + h01 * k1)
    u1 = cells[cell, U + 1] - t / s * (h01 * k0 + h11 * k1)
    return cells[cell, EXPLAINED] + t * t / s if _in_cell(events, cell, u0, u1) else -1.0


@block
def _inside_both(a, b, cells, events, common, rest, pull, least):
    """What two neurons inside their cells explain; -1 if the optimum does not lie there."""
    determinant = rest[0] * rest[2] - rest[1] * rest[1]
    if not (rest[0] > 0 and determinant > least * (rest[0] + rest[2])):
        return -1.0
    a0 = (rest[2] * pull[0] - rest[1] * pull[1]) / determinant
    a1 = (rest[0] * pull[1] - rest[1] * pull[0]) / determinant
    if not _in_cell(events, a, a0, a1):
        return -1.0
    k0, k1 = common[0] * a0 + common[1] * a1, common[1] * a0 + common[2] * a1
    b0 = cells[b, U] - (cells[b, H] * k0 + cells[b, H + 1] * k1)
    b1 = cells[b, U + 1] - (cells[b, H + 1] * k0 + cells[b, H + 2] * k1)
    return cells[b, EXPLAINED] + a0 * pull[0] + a1 * pull[1] if _in_cell(events, b, b0, b1) else -1.0


@block
def _on_rays(a, b, cells, events, common):
    """What two neurons on rays explain; -1 if they are one function."""
    a0, a1, b0, b1 = events[a, R], events[a, R + 1], events[b, R], events[b, R + 1]
    p = _form(cells[a, G], cells[a, G + 1], cells[a, G + 2], a0, a1, a0, a1)
    q = _form(cells[b, G], cells[b, G + 1], cells[b, G + 2], b0, b1, b0, b1)
    o = _form(common[0], common[1], common[2], a0, a1, b0, b1)
    determinant = p * q - o * o
    seen = p > SINGULAR * (cells[a, G] + cells[a, G + 2]) and q > SINGULAR * (cells[b, G] + cells[b, G + 2])
    if not (seen and determinant > SINGULAR * p * q):
        return -1.0
    s, t = a0 * cells[a, C] + a1 * cells[a, C + 1], b0 * cells[b, C] + b1 * cells[b, C + 1]
    return (q * s * s - 2.0 * o * s * t + p * t * t) / determinant


@block
def _common(a, b, cells, events, d):
    """Sum of x x^T over the rows active in both cells (3): G_a - d, or the sum itself if that cancels."""
    k0, k1, k2 = cells[a, G] - d[0], cells[a, G + 1] - d[1], cells[a, G + 2] - d[2]
    if k0 + k2 > CANCELLED * (cells[a, G] + cells[a, G + 2]):
        return k0, k1, k2
    k0, k1, k2 = 0.0, 0.0, 0.0
    turn = events.shape[0]
    end = (a + turn // 2) % turn
    while b != end:
        b = b + 1 if b + 1 < turn else 0
        if events[b, ENTERS] == 0:
            k0, k1, k2 = k0 + events[b, Q], k1 + events[b, Q + 1], k2 + events[b, Q + 2]
    return k0, k1, k2


@block
def _solve_pair(a, b, cells, events, d, e, z, best):
    """The four problems of cells a and b: d, e the sums over rows active in one alone, z = c_D - c_E."""
    least = SINGULAR * (d[0] + d[2] + e[0] + e[2])  # round-off of what either neuron adds to the other
    common = _common(a, b, cells, events, d)
    if cells[b, DETERMINED] > 0:
        rest = _rest(d, e, cells[b])
        u0, u1 = cells[b, U], cells[b, U + 1]
        pull = (z[0] + e[0] * u0 + e[1] * u1, z[1] + e[1] * u0 + e[2] * u1)
        if cells[a, DETERMINED] > 0:
            value = _inside_both(a, b, cells, events, common, rest, pull, least)
            if value > best[0]:
                _keep(value, b, CELLS, best)
        value = _ray_beside_cell(a, b, cells, events, common, rest, pull, least)
        if value > best[0]:
            _keep(value, b, RAY_CELL, best)
    if cells[a, DETERMINED] > 0:
        rest = _rest(e, d, cells[a])
        u0, u1 = cells[a, U], cells[a, U + 1]
        pull = (d[0] * u0 + d[1] * u1 - z[0], d[1] * u0 + d[2] * u1 - z[1])
        value = _ray_beside_cell(b, a, cells, events, common, rest, pull, least)
        if value > best[0]:
            _keep(value, b, CELL_RAY, best)
    value = _on_rays(a, b, cells, events, common)
    if value > best[0]:
        _keep(value, b, RAYS, best)


@block
def _sweep(a, cells, events, best):
    """All pairs of cell a with the half turn ahead of it; best (3): explained square to beat, second cell, place."""
    turn = events.shape[0]
    d0, d1, d2, e0, e1, e2, z0, z1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    b = a
    for _ in range(turn // 2):
        b = b + 1 if b + 1 < turn else 0
        event, cell = events[b], cells[b]
        if event[ENTERS] > 0:
            e0, e1, e2 = e0 + event[Q], e1 + event[Q + 1], e2 + event[Q + 2]
            z0, z1 = z0 - event[Z], z1 - event[Z + 1]
        else:
            d0, d1, d2 = d0 + event[Q], d1 + event[Q + 1], d2 + event[Q + 2]
            z0, z1 = z0 + event[Z], z1 + event[Z + 1]
        if cell[DETERMINED] > 0:
            s00, s01, s11 = _rest((d0, d1, d2), (e0, e1, e2), cell)
            t0 = z0 + e0 * cell[U] + e1 * cell[U + 1]
            t1 = z1 + e1 * cell[U] + e2 * cell[U + 1]
            squares = s11 * t0 * t0 + s00 * t1 * t1
            # t^T S^-1 t <= what is missing, without a division, and with round-off allowed for on both sides
            determinant = s00 * s11 * (1.0 - SLACK) - s01 * s01
            gain = squares * (1.0 + SLACK) - 2.0 * s01 * t0 * t1
            if s00 > 0 and determinant > 0 and gain <= (best[0] - cell[EXPLAINED]) * determinant:
                continue
        _solve_pair(a, b, cells, events, (d0, d1, d2), (e0, e1, e2), (z0, z1), best)


@driver
def sweep_pairs(cells, events, first, lanes, best):
    """Best pairs of the cells first, first + 1, ... with those ahead: best (c, 3) as for one of them."""
    for lane in prange(lanes):
        for c in range(lane, best.shape[0], lanes):
            _sweep(first + c, cells, events, best[c])
