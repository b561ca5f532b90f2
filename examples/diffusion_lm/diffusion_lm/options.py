"""Options: what train.py and train_ar.py are told on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from diffusion_lm.backbone import Size

__all__ = ["Options", "parsed"]


@dataclass(frozen=True, slots=True)
class Options:
    """A training. The fields are the command line's options, by the same names."""

    experiment_name: str
    text: Path | None = None
    hf_raw_repo: str | None = None
    hf_raw_split: str | None = None
    epochs: int = 5
    max_steps: int | None = None
    save_dir: Path = Path("checkpoints")
    distributed: bool = False
    resume: bool = False
    overwrite: bool = False
    device: str = "cpu"
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 50
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    seq_len: int = 128
    seed: int = 0
    checkpoint_every: int | None = None

    @property
    def size(self) -> Size:
        """The backbone's."""
        return Size(d_model=self.d_model, n_layers=self.n_layers, n_heads=self.n_heads, seq_len=self.seq_len)

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint is, beside the metrics."""
        return self.save_dir / f"{self.experiment_name}.pt"


def parsed(words: Sequence[str] | None, *, model_type: str, description: str) -> Options:
    """Read a command line; ends the process, as argparse does, where it makes no sense."""
    parser = _parser(model_type, description)
    given = parser.parse_args(words)
    if (given.text is None) == (given.hf_raw_repo is None):
        parser.error("give the text to train on: --text FILE, or --hf_raw_repo REPO (one of them)")
    if given.hf_raw_split is not None and given.hf_raw_repo is None:
        parser.error("--hf_raw_split is a configuration of --hf_raw_repo, which is not given")
    if given.resume and not given.experiment_name:
        parser.error("--resume goes on with an experiment: say which with --experiment_name")
    if given.resume and given.overwrite:
        parser.error("--resume keeps what --overwrite would begin anew; give one of them")
    given.experiment_name = given.experiment_name or f"{model_type.lower()}_{datetime.now():%Y%m%d_%H%M%S}"  # noqa: DTZ005
    options = Options(**vars(given))
    try:
        _ = options.size
    except ValueError as error:
        parser.error(str(error))
    return options


def _parser(model_type: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    data = parser.add_argument_group("data")
    data.add_argument("--text", type=Path, metavar="FILE", help="a text file")
    data.add_argument("--hf_raw_repo", metavar="REPO", help="a dataset: of the Hugging Face hub, or a local directory")
    data.add_argument("--hf_raw_split", metavar="NAME", help="its configuration, such as wikitext-103-v1")
    data.add_argument("--seq_len", type=_count, default=128, help="bytes of a window")
    data.add_argument("--batch_size", type=_count, default=32, help="windows a step, of each process")
    run = parser.add_argument_group("run")
    run.add_argument("--experiment_name", metavar="NAME", help=f"default: {model_type.lower()}_ and the time")
    run.add_argument(
        "--save_dir", type=Path, default=Path("checkpoints"), metavar="DIR", help="for NAME_metrics.json, NAME.pt"
    )
    run.add_argument("--epochs", type=_count, default=5)
    run.add_argument("--max_steps", "--steps", type=_count, help="stop after so many steps, in all")
    run.add_argument("--distributed", action="store_true", help="share each step among torchrun's processes")
    run.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    run.add_argument("--seed", type=int, default=0, help="of weights, order, times and masks")
    run.add_argument("--checkpoint_every", type=_count, metavar="STEPS", help="save also within an epoch")
    run.add_argument("--resume", action="store_true", help="go on from the checkpoint of --experiment_name")
    run.add_argument("--overwrite", action="store_true", help="begin anew where --experiment_name has metrics already")
    model = parser.add_argument_group("model and optimizer")
    model.add_argument("--d_model", type=_count, default=128)
    model.add_argument("--n_layers", type=_count, default=4)
    model.add_argument("--n_heads", type=_count, default=4)
    model.add_argument("--learning_rate", type=float, default=1e-3)
    model.add_argument("--warmup", type=_count, default=50, help="steps until the learning rate is reached")
    return parser


def _count(word: str) -> int:
    value = int(word)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return value
