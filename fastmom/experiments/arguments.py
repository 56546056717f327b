"""Arguments of the commands about experiments; importing this, and --help, costs nothing."""

from __future__ import annotations

import argparse


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fastmom report` takes."""
    parser.add_argument("folder", metavar="DIR", help="folder that a sweep wrote")
    parser.add_argument("--csv", metavar="FILE", help="write one line a cell")
    parser.add_argument("--parquet", metavar="FILE", help="write one record a cell (needs pyarrow)")
    parser.add_argument("--plots", metavar="DIR", help="draw the plots as PNG and SVG (needs matplotlib)")


def reproduce_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fastmom reproduce` takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="experiment to run")
    parser.add_argument("--list", action="store_true", help="show the experiments")
    parser.add_argument("--all", action="store_true", help="run every experiment")
    parser.add_argument("--quick", action="store_true", help="the small form, of half a minute or so each")
    parser.add_argument(
        "--out", metavar="DIR", default="experiments", help="folder for rows and plots (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one for each processor)")
    parser.add_argument("--gallery", metavar="DIR", help="run those of the documentation, and save their pictures here")


def run_report(options: argparse.Namespace) -> int:
    """Run `fastmom report`."""
    from fastmom.experiments.report import report

    return report(options)


def run_reproduce(options: argparse.Namespace) -> int:
    """Run `fastmom reproduce`."""
    from fastmom.experiments.reproduction import reproduce

    return reproduce(options)
