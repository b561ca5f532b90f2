"""Mixing of noise and other speakers into a batch.

Every choice is a draw of `random`'s global stream, in NeMo's order.
"""
# ruff: noqa: S311 (nothing here is a secret)

from __future__ import annotations

import math
import random
from collections import Counter

import torch
from torch import Tensor

from nest_ssl.batch import AudioNoiseBatch


class MultiSpeakerNoiseAugmentation:
    """Mixes a part of each picked utterance with its noise, or with other utterances of the batch.

    An utterance that is not picked keeps its raw, unscaled noise, and its noisy length is the noise's.

    Args:
        prob: probability that an utterance is picked.
        noise_ratio: of those, the probability of noise rather than speech.
        min_r_speech: lowest energy ratio of utterance to mixed speech, dB.
        max_r_speech: highest.
        min_r_noise: lowest energy ratio of utterance to noise, dB.
        max_r_noise: highest.
        min_mix_rate: lowest share of the utterance that is covered.
        max_mix_rate: highest.
        min_num_segments: fewest pieces that the covered share is cut into.
        max_num_segments: most.
        min_num_speakers: fewest other utterances.
        max_num_speakers: most.

    """

    def __init__(
        self,
        *,
        prob: float = 0.0,
        noise_ratio: float = 0.0,
        min_r_speech: float = -5.0,
        max_r_speech: float = 5.0,
        min_r_noise: float = -5.0,
        max_r_noise: float = 20.0,
        min_mix_rate: float = 0.0,
        max_mix_rate: float = 1.0,
        min_num_segments: int = 1,
        max_num_segments: int = 5,
        min_num_speakers: int = 1,
        max_num_speakers: int = 4,
    ) -> None:
        self.prob = prob
        self.noise_ratio = noise_ratio
        self.speech_db = (min_r_speech, max_r_speech)
        self.noise_db = (min_r_noise, max_r_noise)
        self.mix_rate = (min_mix_rate, max_mix_rate)
        self.segments = (min_num_segments, max_num_segments)
        self.speakers = (min_num_speakers, max_num_speakers)

    def __call__(self, batch: AudioNoiseBatch) -> AudioNoiseBatch:
        """Give the batch its noisy audio; `noise` and `noise_len` of the batch change in place."""
        for index in range(len(batch.audio)):
            if random.random() <= self.prob:
                batch.noise[index] = self.mixture(batch, index)
                batch.noise_len[index] = batch.audio_len[index]
        return AudioNoiseBatch(
            audio=batch.audio,
            audio_len=batch.audio_len,
            noise=batch.noise,
            noise_len=batch.noise_len,
            noisy_audio=batch.audio + batch.noise,
            noisy_audio_len=batch.noise_len,
        )

    def mixture(self, batch: AudioNoiseBatch, index: int) -> Tensor:
        """Draw what is added to an utterance: float32, shape (N,), 0 outside the covered parts."""
        lowest, highest = self.mix_rate
        rate = random.uniform(lowest, highest) if lowest < highest else lowest
        covered = max(1, int(batch.audio_len[index] * rate))
        pieces = random.randint(*self.segments)
        speakers = min(random.randint(*self.speakers), len(batch.audio))
        sizes = list(Counter(random.choices(range(pieces), k=covered)).values())
        if random.random() < self.noise_ratio or len(batch.audio) == 1:
            ratio = random.uniform(*self.noise_db)
            segments = noise_segments(batch, index, sizes)
        else:
            ratio = random.uniform(*self.speech_db)
            segments = speech_segments(batch, index, sizes, speakers)
        placed = place(segments, length=int(batch.audio_len[index]), like=batch.audio[index])
        return gain(batch.audio[index], placed, length=int(batch.audio_len[index]), ratio=ratio) * placed


def noise_segments(batch: AudioNoiseBatch, index: int, sizes: list[int]) -> list[Tensor]:
    """Cut an utterance's noise, repeated as often as needed, into consecutive segments."""
    noise = repeat(batch.noise[index], int(batch.noise_len[index]), batch.audio.shape[1])
    return list(torch.split(noise[: sum(sizes)], sizes))


def speech_segments(batch: AudioNoiseBatch, index: int, sizes: list[int], speakers: int) -> list[Tensor]:
    """Draw segments from other utterances of the batch."""
    others = [other for other in range(len(batch.audio)) if other != index]
    others = random.sample(others, k=min(speakers, len(others)))
    turn = 0
    segments = []
    for size in sizes:
        segments.append(_cut(batch.audio[others[turn]], int(batch.audio_len[others[turn]]), size))
        turn += 1
        if turn >= len(others):
            turn = random.randint(0, len(others) - 1)
    return segments


def _cut(audio: Tensor, length: int, size: int) -> Tensor:
    if size > length:
        return repeat(audio, length, size)
    start = random.randint(0, length - size - 1) if length > size else 0
    return audio[start : start + size]


def repeat(audio: Tensor, length: int, wanted: int) -> Tensor:
    """Repeat the first `length` samples until there are `wanted`."""
    audio = audio[:length]
    if length < wanted:
        audio = audio.repeat(wanted // length + 1)
    return audio[:wanted]


def place(segments: list[Tensor], *, length: int, like: Tensor) -> Tensor:
    """Put segments at random places of an utterance, in order and apart: float32, shape (N,)."""
    placed = torch.zeros_like(like)
    earliest, latest = 0, length - sum(len(segment) for segment in segments)
    for segment in segments:
        start = random.randint(earliest, latest - 1) if earliest < latest else earliest
        placed[start : start + len(segment)] = segment
        earliest = start + len(segment)
        latest += len(segment)
    return placed


def gain(audio: Tensor, noise: Tensor, *, length: int, ratio: float) -> float:
    """Give the factor of the noise that makes the energy ratio `ratio` dB; 0 for silent noise."""
    audio_energy = audio[:length].square().sum() / length
    noise_energy = noise[:length].square().sum() / length
    return math.sqrt(audio_energy / (10 ** (ratio / 10) * noise_energy)) if noise_energy > 0 else 0.0
