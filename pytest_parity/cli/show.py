"""``parity show``: what a golden says about itself."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, open_golden, say, size_on_disk, write_json
from pytest_parity.report.curves import recorded_words
from pytest_parity.report.words import amount, number, size, steps_words

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.golden.reader import Golden

__all__ = ["add_parser", "contents", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "show",
        help="what a golden holds and where it comes from",
        description="Show what a golden says about itself.",
        epilog="Example:\n  parity show nest/tiny --root golden",
    )
    parser.add_argument("golden", metavar="PATH|CASE", help="a case's directory, or a case's name below --root")
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    with open_golden(args.golden, args.root) as golden:
        found = contents(golden)
    if args.json:
        write_json(found)
    else:
        say(_lines(found))
    return 0


def contents(golden: Golden) -> dict[str, Any]:
    """Everything that is shown, as plain values; no tensor is read, only headers."""
    manifest = golden.manifest
    kinds: dict[str, Counter[str]] = {}
    for step in golden.steps:
        for entry in golden.entries(step):
            kinds.setdefault(entry.site.kind.value, Counter()).update(sites=1, bytes=entry.nbytes)
    provenance = dict(manifest["provenance"])
    return {
        "case": golden.case,
        "path": str(golden.path),
        "schema": manifest["schema"],
        "steps": list(golden.steps),
        "sites": sum(kind["sites"] for kind in kinds.values()),
        "bytes_on_disk": size_on_disk(golden),
        "loss": {step: info["loss"] for step, info in manifest["steps"].items() if "loss" in info},
        "settings": manifest["settings"],
        "environment": provenance.pop("environment", {}),
        "provenance": provenance,
        "kinds": {kind: dict(count) for kind, count in kinds.items()},
        "noise": _noise(golden),
        "curves": _curves(golden),
        "structure": _structure(manifest["structure"]),
        "history": manifest["history"],
    }


def _curves(golden: Golden) -> dict[str, Any]:
    """Of each training curve its runs and their ends."""
    return {
        name: {**kept.described, "first": float(kept.runs[0].judged[1][0]), "last": float(kept.runs[0].judged[1][-1])}
        for name, kept in golden.curves.items()
    }


def _noise(golden: Golden) -> dict[str, Any] | None:
    """How many sites have a floor, and how large those are beside the reference."""
    floors = golden.noise
    if floors is None:
        return None
    shares: list[tuple[float, str]] = []
    sites = unstable = count = 0
    for step in golden.steps:
        for entry in golden.entries(step):
            count += 1
            floor = floors.of(step, entry.order)
            if floor is not None:
                sites += 1
                unstable += floor.unstable
                if floor.reference:
                    shares.append((floor.norm / floor.reference, f"{entry.site} of step {step}"))
    largest = max(shares, default=(0.0, ""))
    return {
        "draws": floors.draws,
        "sites": sites,
        "of": count,
        "unstable": unstable,
        "median": median(share for share, _ in shares) if shares else 0.0,
        "largest": largest[0],
        "largest_at": largest[1],
    }


def _structure(plain: dict[str, Any]) -> dict[str, int] | None:
    from pytest_parity.contract.tensors import Structure  # noqa: PLC0415

    if not plain:
        return None
    structure = Structure.from_plain(plain)
    return {
        "parameters": structure.count,
        "trainable": structure.trainable_count,
        "tensors": len(structure.tensors),
        "modules": len(structure.modules),
    }


def _lines(found: dict[str, Any]) -> Iterator[str]:
    sites, steps = amount(found["sites"], "site"), steps_words(found["steps"]) or "no step"
    yield f"{found['case']}: {sites} in {steps}, {size(found['bytes_on_disk'])}, schema {found['schema']}"
    yield f"  {found['path']}"
    for step, losses in found["loss"].items():
        if isinstance(losses, dict):
            yield f"  loss of step {step}: " + ", ".join(f"{name} {value:.9g}" for name, value in losses.items())
    for name, curve in found["curves"].items():
        line = recorded_words(name, curve["steps"], (curve["first"], curve["last"]), curve.get("unit", ""))
        yield f"  {line}; {amount(curve['runs'], 'run')}" + (
            f", {curve['origin']}" if curve["runs"] > 1 else ", no band"
        )
    if found["kinds"]:
        yield from _kinds(found["kinds"])
    if found["structure"]:
        counts = found["structure"]
        trains = f"{counts['parameters']:,} parameters, {counts['trainable']:,} train"
        yield f"model: {trains}; {amount(counts['tensors'], 'tensor')}, {amount(counts['modules'], 'module')}"
    yield _noise_line(found["noise"])
    for title in ("settings", "provenance", "environment"):
        if found[title]:
            yield f"{title}:"
            yield from (f"  {name}: {_value(value)}" for name, value in found[title].items() if value != "absent")
    yield from _history(found["history"])


def _kinds(kinds: dict[str, dict[str, int]]) -> Iterator[str]:
    yield "kinds:"
    width = max(map(len, kinds), default=0)
    for kind, count in kinds.items():
        yield f"  {kind.ljust(width)}  {count['sites']:>7,}  {size(count['bytes']):>8}"


def _noise_line(noise: dict[str, Any] | None) -> str:
    if noise is None:
        return "noise floor: none; checks use the dtypes' default tolerances"
    unstable = f", {amount(noise['unstable'], 'site')} unstable" if noise["unstable"] else ""
    return (
        f"noise floor: {noise['sites']:,} of {amount(noise['of'], 'site')}, from {amount(noise['draws'], 'draw')}{unstable}; "
        f"median {number(noise['median'])} of the norm, at most {number(noise['largest'])} ({noise['largest_at']})"
    )


def _history(history: list[Any]) -> Iterator[str]:
    """A golden that was recorded once has none."""
    if history:
        yield "history:"
    for place, line in enumerate(history, 1):
        what: dict[str, Any] = line if isinstance(line, dict) else {"reason": str(line)}
        accepted = "accepted from a check; " if what.get("accepted") else ""
        counts = ", ".join(
            [
                *(f"{count:,} {name}" for name, count in what.get("sites", {}).items()),
                *(f"curve {name} {word}" for name, word in what.get("curves", {}).items()),
            ]
        )
        yield f"  {place}. {what.get('reason') or '(no reason given)'}: {accepted}{counts or 'not told'}"
        for name, (before, after) in what.get("loss", {}).items():
            yield f"     {name} {before:.9g} -> {after:.9g}"
        for site in what.get("moved", ())[:1]:
            times = f"{number(site['floors'])} floors" if "floors" in site else f"{number(site['roundings'])} roundings"
            yield f"     farthest: step {site['step']} {site['site']}, {times}"
        for name, (before, after) in what.get("changes", {}).items():
            yield f"     {name}: {before} -> {after}"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
