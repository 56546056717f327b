"""The `fastmom` command: demo, sample, fit, predict, compare, and those of `fastmom.experiments.commands`.

Parsing imports neither NumPy nor Numba, so that `--help` and usage errors are instant; each command imports what it
needs. Exit codes: 0 done (for demo and fit: recovered), 1 not recovered (sweep: cells failed), 2 bad usage or input,
130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import functools
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from fastmom.experiments.commands import add_experiments

RECOVERED, NOT_RECOVERED, BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141
BIASES = {"none": False, "hidden": "hidden", "output": "output", "both": True}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process unless given.

    Returns
    -------
    int
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _parser().parse_args(_spell_out_bias(given))
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("fastmom: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit, where the missing reader would be reported again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (ValueError, TypeError, OSError, MemoryError, ModuleNotFoundError) as error:
        if sys.flags.dev_mode:
            raise
        _complain(_one_line(error))
        return BAD_INPUT


def _complain(message: str) -> None:
    print(f"fastmom: error: {message}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}); pass .npy files, which are read in place, or fewer rows"
    return " ".join(str(error).split()) or type(error).__name__


def _spell_out_bias(arguments: list[str]) -> list[str]:
    """Let `fit --bias data.npz` mean `--bias both`: argparse would take the file for the option's value."""
    if arguments[:1] != ["fit"]:
        return arguments
    following = [*arguments[1:], ""]
    pairs = zip(arguments, following, strict=True)
    return ["--bias=both" if word == "--bias" and after not in BIASES else word for word, after in pairs]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the nearest option for a misspelt one."""

    def error(self, message: str) -> NoReturn:
        known = [name for action in self._actions for name in action.option_strings]
        unknown = message.partition("unrecognized arguments: ")[2].partition(" ")[0].partition("=")[0]
        near = difflib.get_close_matches(unknown, known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
        _complain(f"{message}; {advice}")
        sys.exit(BAD_INPUT)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and let the command's own parser report what it does not know."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options


def _parser() -> _Parser:
    parser = _Parser(
        prog="fastmom",
        description="Recover one-hidden-layer networks from samples, with a certificate.",
        epilog="Exit codes: 0 done (demo, fit: recovered), 1 not recovered (sweep: cells failed), 2 bad usage or input",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    def command(name: str, run: Any, text: str) -> _Parser:
        added: _Parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run, parser=added)
        added.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        return added

    _demo_options(command("demo", _demo, "recover a network that was trained on real data, beside its rival"))
    _sample_options(command("sample", _sample, "draw samples of a known or a random network"))
    _fit_options(command("fit", _fit, "recover the network behind samples"))
    predict = command("predict", _predict, "evaluate a network")
    predict.add_argument("network", metavar="NET.npz", help="network that fit saved")
    predict.add_argument("inputs", metavar="X", help=".npy with inputs, or .npz with X")
    predict.add_argument("-o", "--output", metavar="Y.npy", help="where to save the outputs (default: print them)")
    compare = command("compare", _compare, "compare a recovered network with the true one, neuron by neuron")
    compare.add_argument("student", metavar="STUDENT.npz", help="network that fit saved")
    compare.add_argument("teacher", metavar="TEACHER.npz", help="the truth")
    compare.add_argument("--x", metavar="X", help=".npy or .npz inputs on which to compare (default: Gaussian rows)")
    add_experiments(command)
    return parser


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", default="digits", help="digits or wine (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="starts of the rival (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bits (default: %(default)s)")


def _sample_options(parser: argparse.ArgumentParser) -> None:
    teacher = parser.add_mutually_exclusive_group(required=True)
    teacher.add_argument("teacher", nargs="?", metavar="TEACHER.npz", help="network to sample")
    teacher.add_argument(
        "--random", type=_sizes, metavar="D,K,M", help="sample a random network: inputs, neurons, outputs"
    )
    parser.add_argument("--bias", action="store_true", help="the random network has biases")
    parser.add_argument("--teacher-output", metavar="T.npz", help="where to save the network that was sampled")
    parser.add_argument("-n", "--rows", type=int, default=1000, help="number of samples (default: %(default)s)")
    parser.add_argument("--law", default="gaussian", help="law of the inputs (default: %(default)s)")
    parser.add_argument("--noise", type=float, default=0.0, help="label noise relative to the labels' RMS")
    parser.add_argument("--seed", type=int, help="same seed, same bits")
    parser.add_argument("-o", "--output", required=True, metavar="DATA.npz", help="where to save X and Y")


def _fit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", nargs="?", metavar="DATA.npz", help="samples: .npz with X and Y")
    parser.add_argument("--x", metavar="X.npy", help="inputs, read in place (with --y, instead of DATA.npz)")
    parser.add_argument("--y", metavar="Y.npy", help="labels")
    parser.add_argument(
        "--method",
        default="auto",
        help="learner: auto, rectified, symmetric, landscape or narrow (default: %(default)s)",
    )
    parser.add_argument("--n-hidden", type=int, help="number of neurons (default: found from the labels)")
    parser.add_argument(
        "--bias",
        nargs="?",
        const="both",
        default="none",
        choices=BIASES,
        help="biases the network may have; alone it means both (default: %(default)s)",
    )
    parser.add_argument("--noise", help="label noise: auto, none, gaussian or gross (default: auto)")
    parser.add_argument("--activation", help='e.g. relu or "leaky_relu(0.1)" (default: relu)')
    parser.add_argument("--seed", type=int, help="same seed, same bits")
    parser.add_argument("-o", "--output", metavar="NET.npz", help="where to save the network, if recovered")


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected three whole numbers like 20,10,10, got {text!r}")
    return tuple(map(int, parts))


def _demo(options: argparse.Namespace) -> int:
    from fastmom.experiments.demo import run_demo

    say = None if options.json else functools.partial(print, flush=True)
    outcome = run_demo(options.network, starts=options.starts, seed=options.seed, say=say)
    if options.json:
        _print_json(outcome)
    return RECOVERED if outcome["fit"]["success"] else NOT_RECOVERED


def _sample(options: argparse.Namespace) -> int:
    _require_folder(options.output, options.teacher_output)
    import fastmom as fm
    from fastmom.runtime.samples import write_samples
    from fastmom.runtime.validation import as_rng

    generator, seed = as_rng(options.seed)
    teacher_stream, rows_stream = generator.spawn(2)
    if options.random is not None:
        teacher = fm.random_teacher(*options.random, bias=options.bias, rng=teacher_stream)
    else:
        teacher = fm.load(options.teacher)
    X, Y = fm.make_samples(teacher, options.rows, law=options.law, noise=options.noise, rng=rows_stream)
    write_samples(options.output, X, Y)
    if options.teacher_output is not None:
        teacher.save(options.teacher_output)
    if options.json:
        outputs = {"output": options.output, "teacher_output": options.teacher_output}
        _print_json({"n_rows": len(X), "teacher": repr(teacher), "seed": seed, **outputs})
    else:
        print(f"{options.output}: {len(X):,} samples of {teacher!r}, seed {seed}")
    return RECOVERED


def _fit(options: argparse.Namespace) -> int:
    if (options.data is None) == (options.x is None) or (options.x is None) != (options.y is None):
        options.parser.error("expected DATA.npz, or both --x and --y")
    _require_folder(options.output)
    import fastmom as fm
    from fastmom.runtime.progress import on_terminal
    from fastmom.runtime.samples import read_array, read_samples

    X, Y = read_samples(options.data) if options.data else (read_array(options.x), read_array(options.y))
    asked = {"noise": options.noise, "activation": options.activation}
    asked = {name: value for name, value in asked.items() if value is not None}
    if options.method not in ("landscape", "narrow") or options.bias != "none":  # those have no such option
        asked["bias"] = BIASES[options.bias]
    with on_terminal():
        result = fm.learn(
            X,
            Y,
            options.method,
            n_hidden=options.n_hidden,
            rng=options.seed,
            **asked,
        )
    saved = False
    if options.output and result.success and result.network is not None:
        result.network.save(options.output)
        saved = True
    if options.json:
        _print_json({**result.to_dict(), "output": options.output if saved else None})
    else:
        print(result)
        if options.output:
            print(f"  {'saved' if saved else 'not saved':<13}{options.output}")
    return RECOVERED if result.success else NOT_RECOVERED


def _predict(options: argparse.Namespace) -> int:
    _require_folder(options.output)
    import numpy as np

    import fastmom as fm
    from fastmom.runtime.samples import read_inputs, write_array

    Y = fm.load(options.network).predict(read_inputs(options.inputs))
    if options.output:
        write_array(options.output, Y)
    if options.json:
        shape = {"n_rows": Y.shape[0], "n_outputs": Y.shape[1]}
        _print_json({**shape, **({"output": options.output} if options.output else {"Y": Y.tolist()})})
    elif options.output:
        print(f"{options.output}: {Y.shape[0]:,} rows, {Y.shape[1]} outputs")
    else:
        np.savetxt(sys.stdout, Y, fmt="%.17g")
    return RECOVERED


def _compare(options: argparse.Namespace) -> int:
    import fastmom as fm
    from fastmom.runtime.samples import read_inputs

    student, teacher = fm.load(options.student), fm.load(options.teacher)
    found = fm.compare(student, teacher, read_inputs(options.x) if options.x else None)
    matched = int((found.assignment >= 0).sum())
    errors = {name: getattr(found, name) for name in ("max_error", "hidden_error", "output_error")}
    errors["function_error"] = found.function_error
    if options.json:
        finite = {name: error if math.isfinite(error) else None for name, error in errors.items()}
        _print_json({**finite, "matched": matched, "assignment": found.assignment.tolist()})
        return RECOVERED
    print(f"matched         {matched} of {teacher.n_hidden} neurons")
    for name, error in errors.items():
        print(f"{name.replace('_', ' '):<16}{error:.2g}")
    return RECOVERED


def _require_folder(*paths: str | None) -> None:
    """Refuse an output path without a folder now, not after the work."""
    for path in paths:
        folder = os.path.dirname(path or "")
        if folder and not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder!r}; create it first", path)


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content, allow_nan=False))
