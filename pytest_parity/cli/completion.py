"""``parity completion``: a script that has a shell complete commands, options, paths, and cases by name.

The script is static, made by shtab from the commands' own parsers; only the names of cases are asked for when they are
completed, of ``parity completion cases``, which imports no torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, default_root, say, write_json
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import cases

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers

__all__ = ["add_parser", "run"]

_INSTALL = {
    "bash": "parity completion bash > ~/.local/share/bash-completion/completions/parity",
    "zsh": 'parity completion zsh > "${fpath[1]}/_parity"',
    "fish": "parity completion fish > ~/.config/fish/completions/parity.fish",
}
"""What a person types, once, for a new shell to know."""
_CASES = "cases"

_ASKED = "parity completion cases 2>/dev/null"
_GOLDENS = {
    "bash": "_parity_goldens",
    "zsh": "_parity_goldens",
    "fish": f"({_ASKED}; __fish_complete_path (commandline -ct))",
    "preamble": {
        "bash": f'_parity_goldens() {{\n  compgen -W "$({_ASKED})" -- "$1"\n  compgen -f -- "$1"\n}}',
        "zsh": f'_parity_goldens() {{\n  _alternative "cases:case:($({_ASKED}))" "files:path:_files"\n}}',
    },
}
"""A case below the root, or any path."""
_PLACES = {
    "DIR": "directory",
    "FILE": "file",
    **dict.fromkeys(("CASE", "GOLDEN", "PATH", "PATH|CASE", "REF", "CAND", "A", "B"), "golden"),
}
"""What an argument is, by what the help calls it."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "completion",
        help="a script that has bash, zsh or fish complete commands, options and cases",
        description="Print a script that has a shell complete commands, options, paths, and the names of cases (those in "
        "the environment's PARITY_REF, else in golden/). Needs: pip install 'pytest-parity[cli]'",
        epilog="Examples, each for the shells that are started from then on:\n"
        + "\n".join(f"  {command}" for command in _INSTALL.values()),
    )
    parser.add_argument("shell", choices=(*_INSTALL, _CASES), metavar="SHELL", help=", ".join(_INSTALL))
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    if args.shell == _CASES:
        there = cases(default_root(None))
        write_json({"cases": there}) if args.json else say(there)
        return 0
    script = _script(args.shell)
    write_json({"shell": args.shell, "script": script}) if args.json else say([script])
    return 0


def _script(shell: str) -> str:
    try:
        import shtab  # noqa: PLC0415
    except ImportError:
        raise UsageError("completion needs shtab: pip install 'pytest-parity[cli]'") from None
    from pytest_parity.cli import make_parser  # noqa: PLC0415

    parser = make_parser()
    _describe(parser)
    known = {"directory": shtab.DIRECTORY, "file": shtab.FILE, "golden": _GOLDENS}
    for action in _actions(parser):
        place = _PLACES.get(str(action.metavar)) or ("file" if action.type is Path else "")
        if place:
            action.complete = known[place]
    first, _, rest = shtab.complete(parser, shell).partition("\n")  # zsh wants its own line first
    return f"{first}\n# to install: {_INSTALL[shell]}\n{rest}"


def _describe(parser: argparse.ArgumentParser) -> None:
    """Have each command described as ``parity --help`` does, in a line; what is ours alone is not offered."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for said in action._choices_actions:  # noqa: SLF001
                action.choices[said.dest].description = said.help
        elif action.dest == "shell":
            action.choices = tuple(_INSTALL)


def _actions(parser: argparse.ArgumentParser) -> Iterator[Any]:
    """The arguments of all commands."""
    for action in parser._actions:  # noqa: SLF001  argparse tells of them nowhere else
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for one in action.choices.values():
                yield from _actions(one)
