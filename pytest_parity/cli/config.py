"""``parity config``: two configuration files side by side, what changes numbers first."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, say, write_json
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style
from pytest_parity.contract.config import ConfigComparison, compare_configs
from pytest_parity.contract.reading import read_config_file
from pytest_parity.report.config import config_lines

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers

__all__ = ["add_parser", "add_selection", "compared_files", "plain_config", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "config",
        help="compare two configuration files, key by key",
        description=(
            "Compare two YAML, JSON or TOML files: what changed, what only one has, what is of another type, and whether "
            "that changes numbers. References such as ${model.width} are resolved; what only the command line or the "
            "machine can tell (???, ${oc.env:HOME}) is compared as it is written."
        ),
        epilog="Example:\n"
        "  parity config reference.yaml candidate.yaml --only model --ignore 'model.*_ds.manifest_filepath'\n"
        "Exit status: 0 the same, 1 something differs, 2 trouble.",
    )
    parser.add_argument("reference", metavar="REF", help="the reference's file: .yaml, .yml, .json or .toml")
    parser.add_argument("candidate", metavar="CAND", help="the candidate's")
    add_selection(parser)
    add_json(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """``--only`` and ``--ignore``."""
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY", help="this key and what is below it; repeatable"
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="not these keys and what is below them; * crosses dots; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Compare them."""
    found = compared_files(args.reference, args.candidate, args)
    if args.json:
        write_json(plain_config(found))
    else:
        style = Style.of(args.color, sys.stdout)
        headline, *lines = config_lines(found)
        say([style(headline, BOLD, GREEN if found.passed else RED), *lines])
    return 0 if found.passed else 1


def compared_files(reference: str, candidate: str, args: argparse.Namespace) -> ConfigComparison:
    """Read and compare two files, as ``--only`` and ``--ignore`` say."""
    return compare_configs(read_config_file(reference), read_config_file(candidate), only=args.only, ignore=args.ignore)


def plain_config(found: ConfigComparison) -> dict[str, Any]:
    """What was found, as plain values; a side on which a key is absent is left out."""
    return {
        "reference": found.reference,
        "candidate": found.candidate,
        "passed": found.passed,
        "compared": len(found.keys),
        "differences": [
            {
                "key": row.key,
                "change": str(row.change),
                "effect": str(row.effect),
                "reason": row.reason,
                **({} if row.reference is ... else {"reference": row.reference}),
                **({} if row.candidate is ... else {"candidate": row.candidate}),
            }
            for row in found.differences
        ],
        "ignored": dict(found.ignored),
        "unresolved": dict(found.unresolved),
    }
