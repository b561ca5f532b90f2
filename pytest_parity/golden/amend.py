"""Amending: a golden that is there gets noise floors, in one exchange, and nothing else of it changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytest_parity.errors import GoldenError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.curves import FILE as CURVES
from pytest_parity.golden.manifest import render_manifest
from pytest_parity.golden.noise import NoiseFloors, write_floors
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.staging import Staging

__all__ = ["amend_noise"]


def amend_noise(golden: Golden, floors: NoiseFloors) -> None:
    """Write the golden's noise floors. Raises ``GoldenError``; the golden is as it was then."""
    try:
        staging = Staging(Path(os.path.realpath(golden.path)))
        try:
            for name in (*golden.manifest["files"], *([CURVES] if golden.manifest.get("curves") else [])):
                target = staging.path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _same_file(golden.path / name, target)
            noise = write_floors(staging.path, floors)
            kept = {key: value for key, value in golden.manifest.items() if key not in {"schema", "digest"}}
            (staging.path / MANIFEST).write_bytes(render_manifest({**kept, "noise": noise}))
            staging.commit()
        except BaseException:
            staging.discard()
            raise
    except OSError as error:
        raise GoldenError(
            f"noise floors cannot be written to {golden.path}: {error}; the golden is as it was"
        ) from error


def _same_file(source: Path, target: Path) -> None:
    """The same bytes under another name; a file system without hard links has them twice until the old ones go."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
