"""Manifests: one JSON object a line, naming an audio file and its duration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a manifest: `path`, `offset` in s, and `duration` in s, None for the whole file."""

    path: Path
    offset: float
    duration: float | None


def read_manifests(manifests: str | Sequence[str] | None) -> list[Entry]:
    """Read the manifests' entries, in order.

    Args:
        manifests: a path, several joined by commas, a sequence of paths, or None for no entries.

    Raises:
        ValueError: if a line is no JSON object with an `audio_filepath`.

    """
    if manifests is None:
        return []
    names = manifests.split(",") if isinstance(manifests, str) else manifests
    return [entry for name in names for entry in _entries(Path(name))]


def _entries(manifest: Path) -> Iterator[Entry]:
    for number, line in enumerate(manifest.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            path = Path(item["audio_filepath"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{manifest}, line {number}: no JSON object with an audio_filepath: {line}") from error
        # A relative path is relative to its manifest; joining an absolute path leaves it as it is.
        yield Entry(path=manifest.parent / path, offset=item.get("offset") or 0.0, duration=item.get("duration"))


def read_audio(path: Path, *, sample_rate: int, offset: float, duration: float | None) -> npt.NDArray[np.float32]:
    """Read mono audio.

    Args:
        path: a file that libsndfile reads.
        sample_rate: Hz; the file must have it.
        offset: start, s, rounded down to a sample.
        duration: s, rounded down to a sample; None or 0 for all that follows.

    Returns:
        float32, shape (N,), full scale is 1.

    Raises:
        ValueError: if the file has another sample rate or more than one channel.

    """
    with soundfile.SoundFile(path) as file:
        if file.samplerate != sample_rate or file.channels != 1:
            raise ValueError(
                f"{path} has {file.channels} channels at {file.samplerate} Hz; convert it to mono at {sample_rate} Hz"
            )
        file.seek(int(offset * sample_rate))
        frames = int(duration * sample_rate) if duration else -1
        samples: npt.NDArray[np.float32] = file.read(frames, dtype="float32")
    return samples
