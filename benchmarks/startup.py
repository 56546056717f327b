"""What starting costs, in fresh interpreters."""

import resource
import subprocess
import sys


def _cpu_seconds(*arguments):
    """CPU seconds of a fresh interpreter, the best of three."""
    costs = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(costs)


class Startup:
    unit = "s"

    def track_import(self):
        return _cpu_seconds("-c", "import fastmom")

    def track_import_everything_public(self):
        return _cpu_seconds("-c", "import fastmom; [getattr(fastmom, name) for name in fastmom.__all__]")

    def track_help(self):
        return _cpu_seconds("-m", "fastmom", "--help")
