"""Rows as a sweep stores them, made up."""


def row(error=1e-12, *, success=True, state="done", seconds=0.1, values=(), **cell):
    """A row of the given cell; `values` are further ones."""
    told = {"success": success, "exact": success, "error": error, **dict(values)} if state == "done" else {}
    message = "" if state == "done" else "ValueError: no"
    cell = {"method": "rectified", "seed": 0, **cell}
    parts = {"key": repr(sorted(cell.items())), "cell": cell, "state": state, "message": message, "values": told}
    return {**parts, "seconds": {"total": seconds}, "version": "0+abc", "worker": "0"}


def sweep():
    """Two methods, three sizes, four seeds; the rival fails on the small ones."""
    return [
        row(
            10.0**-n if method == "rectified" else 0.1 / n,
            success=method == "rectified" or n > 2,
            method=method,
            n_samples=100 * n,
            noise=noise,
            seed=seed,
        )
        for method in ("rectified", "lbfgs_student")
        for n in (1, 2, 3)
        for noise in (0.0, 0.1)
        for seed in range(4)
    ]
