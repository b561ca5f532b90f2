"""``parity curves``: training curves as pictures, an interactive page and a table; whether experiments differ; a verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, say, write_json
from pytest_parity.cli.sinks import add_sink, checked_sinks, log_to
from pytest_parity.cli.terminal import BOLD, GREEN, RED, YELLOW, Style, progress
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.cli.curve_page import CurvesFound

__all__ = ["add_parser", "run"]

_PAGE = "curves.html"
_HEADING = "Training curves"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "curves",
        help="plot training curves, say whether experiments differ, hold them against recorded ones",
        description="Draw the loss per step, per epoch and smoothed, and experiments side by side; write an interactive page; "
        "print a table. Runs whose names differ in a seed or a time stamp at the end are one experiment: mean and band. "
        "Losses of different meaning have axes of their own: of another unit, or of another model type without a unit.",
        epilog="Examples:\n"
        "  parity curves checkpoints/mdlm_metrics.json checkpoints/ar_metrics.json --names MDLM AR\n"
        "  parity curves checkpoints --summary\n"
        "  parity curves new/ --against recorded/\n"
        "  parity curves lightning_logs/version_3 --metric train_loss --convert checkpoints\n"
        "Exit status: 0 drawn, and with --against each curve passes; 1 one of them fails; 2 trouble.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="metrics files, directories with *_metrics.json in or below them, or what TensorBoard, Lightning's CSV logger, "
        "W&B offline or MLflow have logged",
    )
    parser.add_argument("--names", nargs="+", default=[], metavar="NAME", help="one a file, or one an experiment")
    parser.add_argument("--title", default="", help="is put behind each picture's own title")
    parser.add_argument(
        "--output-dir",
        "--output_dir",
        type=Path,
        metavar="DIR",
        default=Path("plots"),
        help="where pictures and page go (default: plots)",
    )
    parser.add_argument("--unit", help="declare the unit of every loss, and so that all mean the same: nats/token")
    parser.add_argument("--summary", action="store_true", help="the table alone: no picture, no page")
    parser.add_argument(
        "--against", nargs="+", default=[], metavar="PATH", help="judge each curve by these, which were recorded"
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help=f"the page's own place (default: {_PAGE} with the pictures)"
    )
    parser.add_argument("--metric", metavar="NAME", help="of logs by other libraries: which metric is the loss")
    parser.add_argument("--convert", type=Path, metavar="DIR", help="write these as metrics files there")
    add_sink(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read everything, say what there is, draw it."""
    _check(args)
    sinks = checked_sinks(args.sink)
    found, saved = _found(args)
    written, notes = _written(args, found)
    files = [*saved, *written]
    if args.json:
        write_json(_plain(found, files, notes))
    else:
        say(_lines(found, files, notes, Style.of(args.color, sys.stdout)))
    if sinks:
        from pytest_parity.cli.curve_sinks import curve_runs  # noqa: PLC0415

        log_to(sinks, curve_runs(found.experiments))
    return 0 if all(one.passed for one in found.judged) else 1


def _check(args: argparse.Namespace) -> None:
    """Raise ``UsageError`` for what would fail at the end of long work."""
    if args.unit is not None and not args.unit.strip():
        raise UsageError("--unit is empty; name the unit of the losses, as in --unit nats/token")
    if not args.summary and find_spec("matplotlib") is None:
        raise UsageError("pictures need matplotlib: pip install 'pytest-parity[curves]'; --summary does without")
    if args.output_dir.exists() and not args.output_dir.is_dir():
        raise UsageError(f"--output-dir {args.output_dir}: that is a file; name a directory")
    if args.html is not None and args.html.suffix != ".html":
        raise UsageError(f"--html {args.html}: the page is a .html file; give it this suffix")
    page = args.html or args.output_dir / _PAGE
    if args.html is not None or (page.exists() and not args.summary and find_spec("jinja2") is not None):
        from pytest_parity.report.files import check_report  # noqa: PLC0415

        check_report(page.absolute(), f"--html {page}")


def _found(args: argparse.Namespace) -> tuple[CurvesFound, list[Path]]:
    """What was found, and the metrics files that were written of logs."""
    from pytest_parity.cli.curve_page import CurvesFound  # noqa: PLC0415
    from pytest_parity.cli.curve_runs import experiments_judged, read_runs, save_converted  # noqa: PLC0415
    from pytest_parity.curves.differ import differences, same_runs  # noqa: PLC0415
    from pytest_parity.curves.groups import grouped  # noqa: PLC0415
    from pytest_parity.curves.summary import summarized  # noqa: PLC0415

    runs, converted = read_runs(args, args.paths)
    if args.metric is not None and not converted:
        raise UsageError(
            f"--metric {args.metric}: it is for logs of other libraries, and these are metrics files, which say what their loss is"
        )
    experiments = grouped(runs, args.names)
    saved = [] if args.convert is None else save_converted(converted, args.convert)
    references = grouped(read_runs(args, args.against)[0]) if args.against else ()
    judged = [found for _, found in experiments_judged(experiments, references)] if references else []
    return CurvesFound(
        experiments=experiments,
        summaries=tuple(summarized(one, experiment.name) for experiment in experiments for one in experiment.runs),
        differences=differences(experiments),
        judged=tuple(judged),
        notes=tuple(
            f"{one.place} and {other.place} are the same run, bit for bit: it counts once"
            for experiment in experiments
            for one, other in same_runs(experiment)
        ),
    ), saved


def _written(args: argparse.Namespace, found: CurvesFound) -> tuple[list[Path], list[str]]:
    """The pictures and the page, and why there is no page."""
    if args.summary and args.html is None:
        return [], []
    from pytest_parity.curves.strands import portrait  # noqa: PLC0415

    with progress(args, "drawing") as advance:
        portraits = []
        for one in found.experiments:
            portraits.append(portrait(one))
            advance(0)
        written = []
        if not args.summary:
            from pytest_parity.curves.plots import write_plots  # noqa: PLC0415

            written = write_plots(portraits, args.output_dir, title=args.title)
            advance(0)
        page = args.html or args.output_dir / _PAGE
        why = _write_page(args, found, portraits, page)
    return ([*written, page], []) if not why else (written, [why])


def _write_page(args: argparse.Namespace, found: CurvesFound, portraits: list[Any], page: Path) -> str:
    """Write the page, or say why there is none: it is more than what was asked for, unless it was."""
    if find_spec("jinja2") is None and args.html is None:
        return f"no {_PAGE}: it needs jinja2: pip install 'pytest-parity[report]'"
    from pytest_parity.cli.curve_page import curves_document  # noqa: PLC0415
    from pytest_parity.curves.plots import titled  # noqa: PLC0415
    from pytest_parity.report.files import write_text  # noqa: PLC0415
    from pytest_parity.report.html import curves_page  # noqa: PLC0415

    against = " ".join(args.against)
    document = curves_document(found, portraits, title=titled(_HEADING, args.title), against=against)
    write_text(page.absolute(), curves_page(document))
    return ""


def _plain(found: CurvesFound, files: list[Path], notes: list[str]) -> dict[str, Any]:
    """As plain data."""
    from dataclasses import asdict  # noqa: PLC0415

    from pytest_parity.report.curve_rows import curve_row  # noqa: PLC0415

    return {
        "passed": all(one.passed for one in found.judged),
        "experiments": [
            {"name": one.name, "runs": [asdict(run) for run in found.summaries if run.experiment == one.name]}
            for one in found.experiments
        ],
        "differences": [{**asdict(one), "lower": one.lower} for one in found.differences],
        "judged": [{key: value for key, value in curve_row(one).items() if key != "lines"} for one in found.judged],
        "files": [str(path) for path in files],
        "notes": [*found.notes, *notes],
    }


def _lines(found: CurvesFound, files: list[Path], notes: list[str], style: Style) -> Iterator[str]:
    """For people: the table, what is odd, whether they differ, the verdicts, what was written."""
    from pytest_parity.report.curve_differences import difference_lines  # noqa: PLC0415
    from pytest_parity.report.curve_table import printable, summary_notes, summary_table  # noqa: PLC0415
    from pytest_parity.report.curves import curve_headline, curve_table  # noqa: PLC0415

    heading, *rows = summary_table(found.summaries)
    yield from (style(heading, BOLD), *rows)
    yield from (style(note, YELLOW) for note in map(printable, (*summary_notes(found.summaries), *found.notes, *notes)))
    yield from map(printable, difference_lines(found.differences))
    for one in found.judged:
        yield f"{style('passed' if one.passed else 'FAILED', BOLD, GREEN if one.passed else RED)}: {printable(curve_headline(one))}"
        yield from (f"  {line}" for line in (curve_table(one) if one.findings else []))
        yield from (f"  {printable(note)}" for note in one.notes)
    if files:
        yield f"wrote {', '.join(map(str, files))}"
