"""Every kind of trial by name: "recovery", and those of the papers' experiments."""

from __future__ import annotations

from fastmom.experiments import trials_l1, trials_landscape, trials_rectified, trials_symmetric
from fastmom.experiments.trials import TRIALS, Trial

__all__ = ["TRIALS", "Trial"]

for _module in (trials_l1, trials_landscape, trials_rectified, trials_symmetric):
    TRIALS.update(_module.TRIALS)
