"""``parity structure``: two models side by side before any number: tensors, modules, counts, what explains a difference."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, open_golden, say, write_json
from pytest_parity.cli.models import add_names, build_model, is_spec, names_of
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import MANIFEST

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.contract.models import ModelSide, StructureComparison

__all__ = ["add_parser", "compared_models", "plain_structure", "run"]

_DEPTH = 3


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "structure",
        help="compare two models' parameters and modules",
        description=(
            "Compare the structures of two models. Each is a golden (a directory, or a case below --root), a .safetensors "
            "file, a checkpoint (.ckpt, .pt, .pth; read with weights_only=True), or module:factory, which is called "
            "without arguments."
        ),
        epilog="Example:\n"
        "  parity structure nest/full my_model:build --names names.toml\n"
        "  parity structure before.ckpt after.ckpt\n"
        "Exit status: 0 the same, 1 something differs, 2 trouble.",
    )
    parser.add_argument("reference", metavar="REF", help="the reference's model")
    parser.add_argument("candidate", metavar="CAND", help="the candidate's")
    add_names(parser)
    parser.add_argument("--all", action="store_true", help="every tensor, and no list cut")
    parser.add_argument(
        "--depth", type=int, default=_DEPTH, metavar="N", help=f"how deep modules are listed (default: {_DEPTH})"
    )
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare them."""
    from pytest_parity.report.structure import structure_lines  # noqa: PLC0415

    found = compared_models(args.reference, args.candidate, names=args.names, root=args.root, depth=args.depth)
    if args.json:
        write_json(plain_structure(found))
    else:
        style = Style.of(args.color, sys.stdout)
        headline, *lines = structure_lines(found, everything=args.all)
        say([style(headline, BOLD, GREEN if found.passed else RED), *lines])
    return 0 if found.passed else 1


def compared_models(
    reference: str, candidate: str, *, names: str | None, root: Path | None, depth: int = _DEPTH
) -> StructureComparison:
    """Compare two models as they are named on a command line; raises ``UsageError``, ``GoldenError``, ``NameMapError``."""
    from pytest_parity.contract.models import compare_models  # noqa: PLC0415
    from pytest_parity.names import NameMap  # noqa: PLC0415

    one, other = _side(reference, root), _side(candidate, root)
    theirs, ours = one.structure, other.structure
    spec = NameMap.build(names_of(names))
    if one.tensors_alone or other.tensors_alone:
        spec = spec.about([*ours.tensors, *ours.tensor_aliases])
    bound = spec.bind(
        ours.all_names,
        theirs.all_names,
        candidate_aliases=ours.tensor_aliases,
        reference_aliases=theirs.tensor_aliases,
        candidate_shapes={name: info.shape for name, info in ours.tensors.items()},
        reference_shapes={name: info.shape for name, info in theirs.tensors.items()},
    )
    return compare_models(one, other, bound, depth=depth)


def plain_structure(found: StructureComparison) -> dict[str, Any]:
    """What was found, as plain values."""
    return {"passed": found.passed, "difference": found.difference, "unexplained": found.unexplained, **asdict(found)}


def _side(given: str, root: Path | None) -> ModelSide:
    from pytest_parity.contract.models import ModelSide  # noqa: PLC0415
    from pytest_parity.contract.stored import CHECKPOINTS, SAFETENSORS, describe_file  # noqa: PLC0415

    path = Path(given)
    if path.suffix in (SAFETENSORS, *CHECKPOINTS) and not path.is_dir():
        golden = next((place for place in path.absolute().parents[:2] if (place / MANIFEST).is_file()), None)
        if golden is not None:
            raise UsageError(f"{path} is a file of the golden in {golden}; give that directory")
        return ModelSide(given, describe_file(path), tensors_alone=True)
    if path.is_file():
        if path.suffix == ".nemo":
            raise UsageError(f"{path} is an archive: tar -xf {path} model_weights.ckpt, and give that")
        raise UsageError(
            f"{path} is no model: give a golden's directory, a {SAFETENSORS} file, a checkpoint "
            f"({', '.join(CHECKPOINTS)}), or module:factory"
        )
    return _built(given) if is_spec(given) else _recorded(given, root)


def _built(given: str) -> ModelSide:
    from pytest_parity.contract.models import ModelSide  # noqa: PLC0415
    from pytest_parity.contract.stored import merged, same_memory  # noqa: PLC0415
    from pytest_parity.contract.structure import describe  # noqa: PLC0415
    from pytest_parity.contract.wrappers import strip_wrappers  # noqa: PLC0415

    model = build_model(given, given)
    structure = describe(model)
    named = ((strip_wrappers(name, model), tensor) for name, tensor in model.named_parameters())
    shared = same_memory(named)
    notes = (f"has parameters that share memory: {alias} and {name}" for alias, name in shared.items())
    return ModelSide(given, replace(structure, parameters=merged(structure.parameters, shared)), notes=tuple(notes))


def _recorded(given: str, root: Path | None) -> ModelSide:
    from pytest_parity.contract.models import ModelSide  # noqa: PLC0415
    from pytest_parity.contract.tensors import Structure  # noqa: PLC0415

    with open_golden(given, root) as golden:
        if not golden.manifest["structure"]:
            raise UsageError(
                f"the golden of {golden.case} holds values, and no model: record it with parity.watch(model) or "
                "parity.assert_structure(model)"
            )
        return ModelSide(given, Structure.from_plain(golden.manifest["structure"]))
