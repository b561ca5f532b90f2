"""Writing: the directory of a reproduction, and what its script says when it is run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import torch
from safetensors.torch import save_file

from pytest_parity.errors import UsageError
from pytest_parity.report.words import listed
from pytest_parity.session.described import imports
from pytest_parity.session.reproducing.contents import Contents, contents_of
from pytest_parity.session.reproducing.sources import Sources, copy_name
from pytest_parity.session.reproducing.subject import subject_of
from pytest_parity.session.reproducing.told import Told

__all__ = ["SCRIPT", "Written", "reproduce"]

SCRIPT, _MODULE = "repro.py", "module.json"
_PATIENCE = 600
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and what running it said: ``status`` 1 where it differs, 0 where it agrees, else trouble."""

    directory: Path
    name: str
    files: tuple[str, ...]
    remarks: tuple[str, ...]
    status: int
    said: str
    incomplete: bool = False
    """Whether something of the module could not be written."""


def reproduce(left: Path, root: Path, case: str, out: Path, module: str = "") -> Written:
    """Write what ``left`` holds of a case's failure into ``out``, and run it; raises ``UsageError`` and ``GoldenError``."""
    if out.exists() and not (out / _MODULE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there, and nothing that this command has written; give another directory")
    with Told(left, root, case) as told:
        contents = contents_of(told, subject_of(told, module))
        sources, roots, remarks = _sources(contents, told.content["files"])
        step, device = told.step, told.content["device"]
    remarks = [*contents.remarks, *remarks, *_left_out(contents)]
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for name, source in sources.items():
        (out / f"{copy_name(name)}.py").write_text(source, encoding="utf-8")
    placed = {name: copy_name(name) for name in sources}
    told_json = {"name": contents.name, "device": device, "sources": placed, "roots": roots, **contents.told}
    (out / _MODULE).write_text(json.dumps(told_json, indent=1) + "\n", encoding="utf-8")
    for file in ("weights", "inputs", "expected"):
        save_file(_apart(getattr(contents, file)), out / f"{file}.safetensors")
    (out / SCRIPT).write_text(_script(contents.name, case, step, remarks), encoding="utf-8")
    status, said = _run(out / SCRIPT)
    files = tuple(sorted(path.name for path in out.iterdir() if path.is_file()))
    return Written(out, contents.name, files, tuple(remarks), status, said, incomplete=bool(contents.left_out))


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, as safetensors wants them."""
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def _sources(contents: Contents, files: Mapping[str, list[str]]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Copies of the sources that need torch alone, by module; where the others are; what is to be said of those."""
    wanted: dict[str, set[str]] = {}
    for place in (*imports(contents.told), *_classes(contents.told)):
        module, _, name = place.partition(":")
        if module in files:
            wanted.setdefault(module, set()).add(name.partition(".")[0])
    roots = [root for _, root in files.values()]
    tried = Sources(roots)
    obstacles = {module: tried.add(module, files[module][0], sorted(names)) for module, names in wanted.items()}
    kept = {module: files[module][1] for module, obstacle in obstacles.items() if obstacle}
    remarks = [
        f"{', '.join(sorted(wanted[module]))} of {module} needs {obstacles[module]}, so it is not copied: it is imported from "
        f"there, PYTHONPATH={root}"
        for module, root in kept.items()
    ]
    sources = Sources(roots)
    for module in wanted.keys() - kept.keys():
        sources.add(module, files[module][0], sorted(wanted[module]))
    return sources.copies(wanted.keys() - kept.keys()), kept, remarks


def _classes(told: Mapping[str, Any]) -> list[str]:
    classes = [record["class"] for record in told["modules"].values()]
    return [*classes, *([told["optimizer"]["class"]] if "optimizer" in told else [])]


def _left_out(contents: Contents) -> list[str]:
    if not contents.left_out:
        return []
    names = [f"{name} ({why})" for name, why in contents.left_out.items()]
    return [f"not plain, so left as the class has it, or out: {listed(names, _NAMED)}"]


def _script(name: str, case: str, step: int, remarks: list[str]) -> str:
    text = Path(__file__).with_name("repro.py.txt").read_text(encoding="utf-8")
    lines = [
        f"{name} of {case}, step {step}, alone: what it makes of the reference's inputs, beside what the reference made.",
        "",
        "It needs torch, and the files beside it: python repro.py prints the differences, and exits with 1 where there are",
        "any, with 0 where it agrees. Change module.json, a weight, or the source beside it, and run it again.",
        *(["", *(fill(f"* {remark}", 118, subsequent_indent="  ") for remark in remarks)] if remarks else []),
    ]
    header = "\n".join(lines).replace("\\", "/").replace('"""', "'''")
    return text.replace('"""A title."""', f'"""{header}\n"""', 1)


def _run(script: Path) -> tuple[int, str]:
    """Run it as someone would: its status, and what it says."""
    try:
        done = subprocess.run(  # noqa: S603  the script was written just now
            [sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return 2, f"it ran for more than {_PATIENCE} s, and was stopped"
    said = done.stdout if done.returncode in {0, 1} and done.stdout else done.stdout + done.stderr
    failed = done.returncode == 1 and not done.stdout  # python's own, of an exception
    return 2 if failed else done.returncode, said.strip()
