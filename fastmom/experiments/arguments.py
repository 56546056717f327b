"""Arguments of the commands about experiments; importing this, and --help, costs nothing."""

from __future__ import annotations

import argparse


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fastmom report` takes."""
    parser.add_argument("folder", metavar="DIR", help="folder that a sweep wrote")
    parser.add_argument("--csv", metavar="FILE", help="write one line a cell")
    parser.add_argument("--parquet", metavar="FILE", help="write one record a cell (needs pyarrow)")
    parser.add_argument("--plots", metavar="DIR", help="draw the plots as PNG and SVG (needs matplotlib)")
    parser.set_defaults(run=_report)


def reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fastmom reproduce` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="experiment to run")
    parser.add_argument("--list", action="store_true", help="show the experiments")
    parser.add_argument("--all", action="store_true", help="run every experiment")
    parser.add_argument("--quick", action="store_true", help="the small form, of half a minute or so each")
    parser.add_argument(
        "--out", metavar="DIR", default="experiments", help="folder for rows and plots (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--gallery", metavar="DIR", help="run those of the documentation, and save their pictures here")
    parser.set_defaults(run=_reproduce)


def _report(options: argparse.Namespace) -> int:
    from fastmom.experiments.report import run_report

    return run_report(options)


def _reproduce(options: argparse.Namespace) -> int:
    from fastmom.experiments.reproduction import run_reproduce

    return run_reproduce(options)
