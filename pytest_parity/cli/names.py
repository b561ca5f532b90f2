"""``parity names``: propose a name map from what two models' tensors hold, and from their shapes and order."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, open_golden, say, write_json
from pytest_parity.cli.models import build_model
from pytest_parity.cli.terminal import progress
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import MANIFEST

if TYPE_CHECKING:
    import torch

    from pytest_parity.cli.common import Subparsers
    from pytest_parity.golden.reader import Golden
    from pytest_parity.names.proposal import Proposal

    Tensors = dict[str, torch.Tensor]

__all__ = ["add_parser", "run"]

_STATE = ".safetensors"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "names",
        help="propose a name map from content, shape and order",
        description=(
            "Propose a name map, candidate to reference, as TOML that names= reads. Equal content is a proof; what only "
            "shape and order speak for is written as a comment, and so are ties. Where the candidate does not hold the "
            "reference's weights, everything is a guess."
        ),
        epilog="Exit status: 0 everything is proved, 1 something is not, 2 trouble.\nExample:\n"
        "  parity names nest/tiny --model nest_ssl.model:build -o names.toml",
    )
    parser.add_argument("reference", metavar="REF", help="the reference's golden: a directory, or a case below --root")
    parser.add_argument(
        "candidate", metavar="CAND", nargs="?", help="the candidate's golden, or its state dict in a .safetensors file"
    )
    parser.add_argument("--model", metavar="MODULE:FACTORY", help="what builds the candidate, called without arguments")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="where the TOML goes (default: standard output)")
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Propose."""
    from pytest_parity.names.propose import propose  # noqa: PLC0415
    from pytest_parity.names.written import to_toml  # noqa: PLC0415

    if args.out is not None and args.out.exists():
        raise UsageError(f"{args.out} is there already, and may hold what a person wrote; give --out another name")
    if args.out is not None and not args.out.parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no directory {args.out.parent}")
    reference, candidate = _reference(args), _candidate(args)
    with progress(args, "pairing tensors", len(candidate), "tensor") as advance:
        found = propose(candidate, reference, advance)
    whose = " and ".join(one for one in (args.candidate, args.model) if one)
    text = to_toml(found, (f"Name map of {whose} (candidate) to {args.reference} (reference), by `parity names`.",))
    if args.out is not None:
        with args.out.open("x", encoding="utf-8") as file:
            file.write(text)
    if args.json:
        write_json({**_plain(found), "toml": text})
    elif args.out is None:
        sys.stdout.write(text)
    else:
        say([f"{args.out}: {_summary(found)}"])
    return 0 if found.complete else 1


def _reference(args: argparse.Namespace) -> Tensors:
    with open_golden(args.reference, args.root) as golden:
        return _weights(golden)


def _candidate(args: argparse.Namespace) -> Tensors:
    if args.candidate is None and args.model is None:
        raise UsageError(
            "there is no candidate: give its golden, its state dict (.safetensors), or --model module:factory"
        )
    stored = None if args.candidate is None else _stored(args.candidate, args.root)
    if args.model is None:
        assert stored is not None
        return stored
    own = _built(args.model)
    if stored is None:
        return own
    missing = [name for name in own if name not in stored]
    if missing:
        raise UsageError(
            f"{args.candidate} is not of {args.model}: {len(missing)} of its {len(own)} tensors are not in it, "
            f"{', '.join(missing[:3])} among them"
        )
    return {name: stored[name] for name in own}


def _stored(path: str, root: Path | None) -> Tensors:
    if path.endswith(_STATE) and not Path(path).is_dir():
        return _state(Path(path))
    if Path(path).is_file() or path.endswith(".toml"):
        raise UsageError(
            f"{path} is neither a golden nor a {_STATE} file, which safetensors.torch.save_file writes of a state dict; "
            "where the map is written is --out"
        )
    with open_golden(path, root) as golden:
        return _weights(golden)


def _state(path: Path) -> Tensors:
    """A state dict, without what wrappers put before its names."""
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    from pytest_parity.contract.wrappers import stored_names  # noqa: PLC0415

    golden = next((place for place in path.absolute().parents[:2] if (place / MANIFEST).is_file()), None)
    if golden is not None:
        raise UsageError(f"{path} is a file of the golden in {golden}; give that directory")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise UsageError(f"{path} cannot be read as safetensors: {error}") from None
    return {name: state[stored] for stored, name in stored_names(state).items()}


def _weights(golden: Golden) -> Tensors:
    """The weights that a golden's first step began with, in the model's order."""
    from pytest_parity.site import Kind  # noqa: PLC0415

    for step in golden.steps:
        found = {one.site.path: one for one in golden.entries(step) if one.site.kind is Kind.WEIGHT}
        if found:
            return {name: golden.tensor(entry) for name, entry in found.items()}
    raise UsageError(f"the golden of {golden.case} holds no weights; record it with the kind 'weight'")


def _built(spec: str) -> Tensors:
    from pytest_parity.capture import TensorTable  # noqa: PLC0415

    model = build_model(spec, f"--model {spec}", "--model nest_ssl.model:build")
    tensors = TensorTable(model).now()
    empty = next((name for name, tensor in tensors.items() if tensor.is_meta), None)
    if empty is not None:
        raise UsageError(
            f"--model {spec}: its {empty} is on the meta device and holds nothing; build it with its weights"
        )
    return tensors


def _summary(found: Proposal) -> str:
    counts = {
        "proved": len(found.proved),
        "guessed": len(found.guesses),
        "tied": sum(len(tie.candidate) for tie in found.ties),
        "without a counterpart": len(found.candidate),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    left = f"; of the reference {len(found.reference)} without one" if found.reference else ""
    return f"of the candidate's tensors {said or 'none'}{left}"


def _plain(found: Proposal) -> dict[str, Any]:
    return {
        "proved": [match.to_plain() for match in found.proved],
        "guesses": [match.to_plain() for match in found.guesses],
        "ties": [{"candidate": tie.candidate, "reference": tie.reference, "what": tie.what} for tie in found.ties],
        "candidate_alone": found.candidate,
        "reference_alone": found.reference,
    }
