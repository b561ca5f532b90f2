"""Training: the one loop of both models, from the command line to the metrics file and the checkpoint."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from diffusion_lm import checkpoint, data
from diffusion_lm.checkpoint import CheckpointError
from diffusion_lm.data import DataError, Windows
from diffusion_lm.model import LanguageModel
from diffusion_lm.options import Options, parsed
from diffusion_lm.ranks import Ranks, RanksError, joined
from pytest_parity import ParityError
from pytest_parity.curves import MetricsWriter

__all__ = ["main", "train"]

_CLIP = 1.0
"""The largest norm of the gradients."""
_FREE = {
    "max_steps",
    "epochs",
    "save_dir",
    "resume",
    "overwrite",
    "device",
    "checkpoint_every",
    "distributed",
    "batch_size",
    "text",
    "hf_raw_repo",
    "hf_raw_split",
}
"""What may be another when a training goes on; the whole batch and the text itself may not."""


def main(kind: type[LanguageModel], words: Sequence[str] | None = None) -> None:
    """Train a model as a command line says; what cannot be done ends the process with one line."""
    options = parsed(words, model_type=kind.model_type, description=f"Train {kind.__name__}, {kind.model_type}.")
    try:
        with joined(options.device, distribute=options.distributed) as ranks:
            train(kind, options, ranks)
    except (DataError, CheckpointError, RanksError, ParityError) as error:
        sys.exit(f"error: {error}")


def train(kind: type[LanguageModel], options: Options, ranks: Ranks) -> None:
    """Train, and leave `{experiment_name}_metrics.json` and `{experiment_name}.pt` in the save directory."""
    with ranks.one_by_one():
        text = (
            data.from_text(options.text)
            if options.text
            else data.from_hub(str(options.hf_raw_repo), options.hf_raw_split)
        )
    windows, held = data.split(
        *text, seq_len=options.seq_len, batch=options.batch_size, rank=ranks.rank, ranks=ranks.count
    )
    torch.manual_seed(options.seed)
    model = kind(data.VOCABULARY, options.size).to(ranks.device)
    model.share(ranks.rank, ranks.count)
    run = _Run(options, ranks, windows, held, model)
    if options.resume:
        run.resume()
    run.through()


@dataclass
class _Run:
    options: Options
    ranks: Ranks
    windows: Windows
    held: Windows
    model: LanguageModel
    step: int = 0
    """Steps taken."""
    held_out: float = math.nan
    """The loss of what is held out, at the last epoch's end."""

    def __post_init__(self) -> None:
        options = self.options
        self.text = blake2b(self.windows.tokens.numpy().data, digest_size=8).hexdigest()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=options.learning_rate)
        self.schedule = LambdaLR(self.optimizer, lambda step: min(1.0, (step + 1) / options.warmup))
        self.last = options.epochs * self.windows.batches
        if options.max_steps is not None:
            self.last = min(self.last, options.max_steps)

    def through(self) -> None:
        """Train until the last step. Rank 0 writes, the others have no writer."""
        parallel: nn.Module = self.model
        if self.options.distributed:
            parallel = DistributedDataParallel(self.model, broadcast_buffers=False)
        if not self.ranks.first:
            self._epochs(parallel, None)
            return
        self.options.save_dir.mkdir(parents=True, exist_ok=True)
        with MetricsWriter(
            self.options.experiment_name,
            self.options.save_dir,
            model_type=self.model.model_type,
            unit=self.model.unit,
            units={"held_out_loss": self.model.unit},
            resume=self.step if self.options.resume else None,
            overwrite=self.options.overwrite,
        ) as writer:
            self._epochs(parallel, writer)
        print(f"{self.step} steps; metrics in {writer.path}, checkpoint in {self.options.checkpoint}")

    def _epochs(self, parallel: nn.Module, writer: MetricsWriter | None) -> None:
        while self.step < self.last:
            began, at = time.perf_counter(), self.step
            epoch, skip = divmod(self.step, self.windows.batches)
            for tokens in self.windows.shuffled(self.options.seed, epoch, skip=skip):
                self._step(parallel, tokens, writer)
                ended = self.step % self.windows.batches == 0
                if ended:
                    self._end_epoch(epoch + 1, writer, (time.perf_counter() - began) / (self.step - at))
                every = self.options.checkpoint_every
                if ended or self.step == self.last or (every and self.step % every == 0):
                    self._save(writer)
                if self.step == self.last:
                    break

    def _step(self, parallel: nn.Module, tokens: torch.Tensor, writer: MetricsWriter | None) -> None:
        self.optimizer.zero_grad()
        loss, _ = parallel(tokens.to(self.ranks.device))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        (rate,) = self.schedule.get_last_lr()
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        value = self.ranks.mean(loss)
        series = {"learning_rate": rate, "gradient_norm": float(norm)} | self._held_out_at_end()
        if writer is not None:
            writer.log_step(self.step, value, series=series)

    def _held_out_at_end(self) -> dict[str, float]:
        if self.step % self.windows.batches:
            return {}
        self.held_out = self._evaluate()
        return {"held_out_loss": self.held_out}

    @torch.no_grad()
    def _evaluate(self) -> float:
        """The mean loss of what is held out, with the same times and masks each time."""
        states = checkpoint.generators(self.ranks.device)
        torch.manual_seed(self.options.seed)
        self.model.eval()
        losses = [self.ranks.mean(self.model(tokens.to(self.ranks.device))[0]) for tokens in self.held.in_order()]
        self.model.train()
        checkpoint.restore_generators(states, self.ranks.device)
        return sum(losses) / len(losses)

    def _end_epoch(self, epoch: int, writer: MetricsWriter | None, seconds: float) -> None:
        if writer is None:
            return
        writer.log_epoch(epoch)
        print(
            f"epoch {epoch}/{self.options.epochs}: loss {writer.curve.epoch_losses[-1]:.4f}, "
            f"held out {self.held_out:.4f} {self.model.unit}; step {self.step}, {1000 * seconds:.0f} ms each",
            flush=True,
        )

    def _save(self, writer: MetricsWriter | None) -> None:
        """Write the checkpoint, after the metrics up to it: what goes on from it finds them."""
        if writer is None:
            return
        writer.flush()
        checkpoint.save(
            self.options.checkpoint,
            self.model,
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            generators=checkpoint.generators(self.ranks.device),
            step=self.step,
            options=self._fixed(),
        )

    def resume(self) -> None:
        """Take everything from the checkpoint; a training with other settings is not the same one, and is refused."""
        path = self.options.checkpoint
        state = checkpoint.load(path)
        if state["model_type"] != self.model.model_type:
            raise CheckpointError(f"{path} is of {state['model_type']}, and this trains {self.model.model_type}")
        then, now = state["options"], self._fixed()
        others = [f"{name} {now[name]} (then {then.get(name)})" for name in now if now[name] != then.get(name)]
        if others:
            raise CheckpointError(f"--resume goes on with the training of {path}, and this one has {', '.join(others)}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        checkpoint.restore_generators(state["generators"], self.ranks.device)
        self.step = state["step"]

    def _fixed(self) -> dict[str, Any]:
        options = {name: value for name, value in asdict(self.options).items() if name not in _FREE}
        return options | {"batch of all processes": self.windows.batch * self.windows.ranks, "text": self.text}
