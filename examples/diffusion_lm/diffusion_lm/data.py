"""Data: a text, from a file or from a dataset of Hugging Face's `datasets`, as bytes cut into windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["VOCABULARY", "DataError", "Windows", "decode", "encode", "from_hub", "from_text", "split"]

VOCABULARY = 256
"""Tokens are bytes of UTF-8: any text can be read, and there is no vocabulary to keep."""
_ROWS = 1000


class DataError(Exception):
    """There is no text to train on, or not enough; says what to give."""


def encode(text: str | bytes) -> Tensor:
    """Text to tokens: (N,), uint8, so that a large text takes no more memory than it has bytes."""
    raw = text.encode() if isinstance(text, str) else text
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)


def decode(tokens: Tensor) -> str:
    """Tokens to text; what is no UTF-8, as a model may write it, becomes U+FFFD."""
    return bytes(tokens.tolist()).decode(errors="replace")


def from_text(path: Path) -> tuple[Tensor, Tensor | None]:
    """The tokens of a file; nothing is held out by its maker."""
    try:
        return encode(path.read_bytes()), None
    except OSError as error:
        raise DataError(f"--text {path}: {error.strerror or error}") from error


def from_hub(repo: str, name: str | None) -> tuple[Tensor, Tensor | None]:
    """The tokens of a dataset's `train` split, and of its `validation` split if it has one.

    `repo` is a repository of the hub, or a directory that is made like one; `name` is its configuration ("wikitext-103-v1").
    """
    try:
        datasets: Any = import_module("datasets")  # only who asks for it needs it
    except ImportError as error:
        raise DataError("--hf_raw_repo needs the package datasets: pip install datasets") from error
    try:
        found = datasets.load_dataset(repo, name)
    except Exception as error:  # whatever it is, the library's own words say it best
        raise DataError(f"--hf_raw_repo {repo} --hf_raw_split {name}: {error}") from error
    if "train" not in found:
        raise DataError(f"{repo} ({name}) has no split named train; it has {', '.join(found)}")
    held = found.get("validation")
    return _text(found["train"], repo), None if held is None else _text(held, repo)


def _text(rows: Any, repo: str) -> Tensor:
    names = [name for name, kind in rows.features.items() if getattr(kind, "dtype", None) in {"string", "large_string"}]
    if "text" not in names and len(names) != 1:
        raise DataError(f"{repo} has no column named text; its columns of strings are {', '.join(names) or '(none)'}")
    column = "text" if "text" in names else names[0]
    raw = bytearray()
    for batch in rows.select_columns([column]).iter(batch_size=_ROWS):
        raw.extend("".join(text or "" for text in batch[column]).encode())
    return encode(bytes(raw))


@dataclass(frozen=True, slots=True)
class Windows:
    """A text cut into windows of one length, and how they are dealt out: in batches, each of which `ranks` processes share."""

    tokens: Tensor
    """(windows, seq_len), uint8."""
    batch: int
    """Windows of a batch that one process gets."""
    rank: int = 0
    ranks: int = 1

    @property
    def batches(self) -> int:
        """How many whole batches there are; what is left over belongs to none."""
        return len(self.tokens) // (self.batch * self.ranks)

    def shuffled(self, seed: int, epoch: int, *, skip: int = 0) -> Iterator[Tensor]:
        """This process's part (batch, seq_len) of each batch of an epoch, int64, without the first `skip`.

        The order is the seed's and the epoch's, whatever was drawn before and however many processes share a batch.
        """
        generator = torch.Generator().manual_seed((seed << 20) + epoch)
        order = torch.randperm(len(self.tokens), generator=generator)
        return self._dealt(order, skip)

    def in_order(self) -> Iterator[Tensor]:
        """The same, as the text has them."""
        return self._dealt(torch.arange(len(self.tokens)), 0)

    def _dealt(self, order: Tensor, skip: int) -> Iterator[Tensor]:
        whole = self.batch * self.ranks
        for number in range(skip, self.batches):
            first = number * whole + self.rank * self.batch
            yield self.tokens[order[first : first + self.batch]].long()


def split(
    tokens: Tensor, held: Tensor | None, *, seq_len: int, batch: int, rank: int = 0, ranks: int = 1
) -> tuple[Windows, Windows]:
    """Windows to train on, and windows that are held out: the text's last tenth, at least a batch, if `held` is none."""
    train = _windows(tokens, seq_len)
    whole = batch * ranks
    if held is None:
        last = max(whole, len(train) // 10)
        train, kept = train[: max(len(train) - last, 0)], train[max(len(train) - last, 0) :]
    else:
        kept = _windows(held, seq_len)
    if min(len(train), len(kept)) < whole:
        raise DataError(
            f"the text has {len(train)} windows of {seq_len} bytes to train on and {len(kept)} held out, and a batch takes "
            f"{whole} of either; give a longer text, or a smaller --batch_size or --seq_len"
        )
    return Windows(train, batch, rank, ranks), Windows(kept, batch, rank, ranks)


def _windows(tokens: Tensor, seq_len: int) -> Tensor:
    return tokens[: len(tokens) // seq_len * seq_len].view(-1, seq_len)
