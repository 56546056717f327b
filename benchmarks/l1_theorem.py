"""The theorem on data: networks of the class against the dual value of their ball, and the minimiser on new rows."""

from typing import ClassVar

import numpy as np

from fastmom.experiments.kernel_theorem import theorem_on_data

ROWS = {"n=250": 250, "n=1000": 1000, "n=3000": 3000}
DRAWS = {"n=250": 4, "n=1000": 4, "n=3000": 2}


class Theorem:
    """Networks of width 6 on 10 inputs, L = 1, c = 0.25, noise 0.1."""

    params: ClassVar = [["erf", "smoothed_hinge"], [1, 2, 3], list(ROWS)]
    param_names: ClassVar = ["activation", "depth", "rows"]
    timeout = 600

    def setup(self, activation, depth, rows):
        self.found = [
            theorem_on_data(depth, ROWS[rows], activation=activation, rng=seed) for seed in range(DRAWS[rows])
        ]

    def track_networks_below_the_dual_value(self, activation, depth, rows):
        """None."""
        return sum(found["dual"] > found["network_loss"] for found in self.found)

    def track_excess(self, activation, depth, rows):
        """At most 7e-4 with 1000 rows, 3.5e-4 with 3000."""
        return float(np.mean([found["excess"] for found in self.found]))
