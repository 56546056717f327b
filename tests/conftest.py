import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Property tests must not fail because the machine is busy.
settings.register_profile("fastmom", deadline=None)
settings.load_profile("fastmom")

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def run_python():
    """Run a fresh interpreter that finds the package, installed or not; `env` adds to the environment."""

    def run(*arguments, env=None, **settings):
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), **(env or {})}
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=300, **settings
        )

    return run
