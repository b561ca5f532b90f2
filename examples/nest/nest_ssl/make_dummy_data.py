"""Makes the `dummy_ssl` data: `python -m nest_ssl.make_dummy_data DIR [--seed N]`.

Voiced syllables over a gliding pitch, and coloured noise, as 16 kHz, 16-bit, mono WAV files with their manifests. The
same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000
FRAME = 160
"""Samples of a mel frame."""
TRAIN, VALIDATION = 24, 8
UTTERANCE_FRAMES = (113, 160)
"""Range of an utterance's length in mel frames, the end excluded; drawn odd, so that halving it must round."""
NOISE_SECONDS = (0.4, 0.75, 1.0, 1.3, 2.0, 2.75)
"""Shorter, about as long, and longer than an utterance."""

Signal = npt.NDArray[np.floating[Any]]


def make_dummy_data(directory: Path, *, seed: int = 0) -> None:
    """Write `wavs/*.wav`, `train_manifest.json`, `val_manifest.json` and `noise_manifest.json` under a directory."""
    rng = np.random.default_rng(seed)
    (directory / "wavs").mkdir(parents=True, exist_ok=True)
    for name, count in (("train", TRAIN), ("val", VALIDATION)):
        signals = [utterance(rng, utterance_length(rng)) for _ in range(count)]
        write_set(directory, name, signals)
    write_set(directory, "noise", [noise(rng, int(seconds * SAMPLE_RATE)) for seconds in NOISE_SECONDS])


def utterance_length(rng: np.random.Generator) -> int:
    """Draw a length in samples: an odd number of frames and part of another."""
    frames = int(rng.choice(np.arange(*UTTERANCE_FRAMES, 2)))
    return frames * FRAME + int(rng.integers(1, FRAME))


def utterance(rng: np.random.Generator, length: int) -> Signal:
    """Draw something like speech: harmonics of a gliding pitch under syllables, with breath; peak 0.5."""
    time = np.arange(length) / SAMPLE_RATE
    pitch = rng.uniform(90, 220) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 1.2) * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    formants = rng.uniform((300, 900, 2200), (800, 1800, 3200))
    voice = np.zeros(length)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch.mean()
        weight = np.exp(-(((frequency - formants) / 250) ** 2)).sum() + 0.05
        voice += weight * np.sin(harmonic * phase)
    syllables = np.sin(np.pi * rng.uniform(2.5, 4.5) * time + rng.uniform(0, 6)) ** 2
    return scaled(voice * syllables + 0.05 * rng.standard_normal(length), peak=0.5)


def noise(rng: np.random.Generator, length: int) -> Signal:
    """Draw coloured noise: white noise through a first-order filter of random sign and strength; peak 0.3."""
    white = rng.standard_normal(length + 1)
    return scaled(white[1:] + rng.uniform(-0.9, 0.9) * white[:-1], peak=0.3)


def scaled(signal: Signal, *, peak: float) -> Signal:
    """Scale to a peak, full scale being 1."""
    return np.multiply(signal, peak / float(np.abs(signal).max()))


def write_set(directory: Path, name: str, signals: Sequence[Signal]) -> None:
    """Write signals as WAV files, and their manifest with paths relative to it."""
    lines = []
    for number, signal in enumerate(signals):
        path = Path("wavs") / f"{name}_{number:02d}.wav"
        write_wav(directory / path, signal)
        item = {"audio_filepath": path.as_posix(), "duration": len(signal) / SAMPLE_RATE, "text": ""}
        lines.append(json.dumps(item) + "\n")
    (directory / f"{name}_manifest.json").write_text("".join(lines), encoding="utf-8")


def write_wav(path: Path, signal: Signal) -> None:
    """Write a signal, full scale 1, as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(signal * 32767).astype("<i2").tobytes())


def main() -> None:
    """Read the command line and write the data."""
    parser = argparse.ArgumentParser(description="Make the dummy_ssl data: WAV files and their manifests.")
    parser.add_argument("directory", type=Path, help="where the data goes; made if missing")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data (default: 0)")
    arguments = parser.parse_args()
    make_dummy_data(arguments.directory, seed=arguments.seed)


if __name__ == "__main__":
    main()
