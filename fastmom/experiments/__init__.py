"""Experiments: sweeps of many small ones, the demonstration, and the rivals that learners are measured against.

A sweep is a TOML file (`fastmom.experiments.spec`), one command, ``fastmom sweep SPEC.toml --out DIR``, and a folder of
rows (`fastmom.experiments.store`). A cell is a flat dict: the problem, as `fastmom.random_teacher` and
`fastmom.make_samples` name its parts, the ``method``, its ``options.*`` and the ``seed``. What a cell does is a trial
(`fastmom.experiments.trials`); "recovery", the default, draws a teacher and samples, lets the method learn, compares.

Every cell draws from two streams of its own: one of the problem, so that all methods see the same data, one of the
whole cell. So a row depends on its cell alone, whatever the order, the engine and the number of processes. The key of a
row names the cell and the code; what a folder lacks is run, so that the same command goes on after a stop or a kill.

>>> import tempfile
>>> from fastmom.experiments.spec import parse_spec
>>> from fastmom.experiments.store import read_rows
>>> from fastmom.experiments.sweep import run_sweep
>>> spec = parse_spec('''
... [grid]
... method = ["rectified", "lbfgs_student"]
... seed = { start = 0, count = 3 }
... [fixed]
... n_inputs = 5
... n_hidden = 2
... n_outputs = 3
... n_samples = 100
... ''')
>>> folder = tempfile.mkdtemp()
>>> summary = run_sweep(spec, folder, jobs=1)
>>> all(row["values"]["success"] for row in read_rows(folder) if row["cell"]["method"] == "rectified")
True
"""
