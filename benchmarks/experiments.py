"""What a sweep costs beside the methods that it runs: reading the spec, drawing and judging, storing, workers."""

import tempfile
import time

from fastmom.experiments.engines import run_cell
from fastmom.experiments.spec import parse_spec
from fastmom.experiments.store import Writer, read_store
from fastmom.experiments.sweep import run_sweep

CELLS = {"tiny": 1000}

SPEC = """
[grid]
n_samples = [50, 100]
seed = { start = 0, count = %d }
[fixed]
method = "rectified"
n_inputs = 5
n_hidden = 2
n_outputs = 3
"""


def spec():
    return parse_spec(SPEC % (CELLS["tiny"] // 2))


class Overhead:
    """CPU seconds for each of 1000 tiny cells."""

    unit = "s"

    def setup(self):
        self.cells = spec().cells
        self.folder = tempfile.TemporaryDirectory()
        self.rows = [run_cell(cell, "1", "0") for cell in self.cells[:20]]

    def teardown(self):
        self.folder.cleanup()

    def track_beside_the_method(self):
        """Drawing the problem, judging the result, storing the row."""
        began = time.process_time()
        with Writer(self.folder.name, "0") as writer:
            rows = []
            for cell in self.cells:
                rows.append(run_cell(cell, "1", "0"))
                writer.append(rows[-1])
        spent = time.process_time() - began
        return (spent - sum(row["seconds"]["total"] for row in rows)) / len(rows)

    def track_reading_the_spec(self):
        began = time.process_time()
        spec()
        return (time.process_time() - began) / len(self.cells)

    def time_storing_a_row(self):
        with Writer(self.folder.name, "1") as writer:
            writer.append(self.rows[0])

    def time_reading_the_store(self):
        with Writer(self.folder.name, "2") as writer:
            for row in self.rows:
                writer.append(row)
        read_store(self.folder.name)


class ThousandCells:
    """Wall seconds of a whole sweep of 1000 tiny cells, starting and stopping workers included."""

    params = (1, 2)
    param_names = ("jobs",)
    unit = "s"
    timeout = 120

    def track_wall(self, jobs):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            summary = run_sweep(spec(), folder, jobs=jobs)
            assert summary.n_done == CELLS["tiny"]
            return time.perf_counter() - began
