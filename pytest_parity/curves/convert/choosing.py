"""Which of a run's scalars is the loss: the one that was asked for, or the one that nobody could mistake.

A tag is read as words: ``Train/Loss``, ``train_loss`` and ``trainLoss`` are ``train loss``; ``training`` is ``train``. The first of
these that is there is the loss; two on one level are a question for the user:

1. ``train loss`` in any order (``train_loss``, ``train/loss``, ``Loss/train``), also with ``step`` or ``batch``
2. ``loss`` alone (``loss``, ``batch_loss``)
3. any one that has the word and none of ``val``, ``eval``, ``test`` (``lm loss``, ``reduced_train_loss``)

With ``step`` or ``batch`` comes before without; with ``epoch`` it is the epochs' loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_parity.curves.convert.logged import LoggedRun, Points
from pytest_parity.errors import UsageError

__all__ = ["Chosen", "chosen", "epoch_axis", "listing"]

_STEP = frozenset({"step", "batch", "iter", "iteration"})
_EVALUATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev"})
_LISTED = 40
_NAMED = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """The tags of the loss, by step and by epoch; at least one is there."""

    step: str | None
    epoch: str | None


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag read as words."""

    name: str
    core: tuple[str, ...]
    step: bool
    epoch: bool

    @property
    def level(self) -> int | None:
        """Which line of the order it is on; ``None``: it is no training loss."""
        if sorted(self.core) == ["loss", "train"]:
            return 0
        if self.core == ("loss",):
            return 1
        return 2 if "loss" in self.core and not _EVALUATION.intersection(self.core) else None


def _tag(name: str) -> _Tag:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = ["train" if word == "training" else word for word in re.findall(r"[a-z0-9]+", apart)]
    core = tuple(word for word in words if word not in _STEP and word != "epoch")
    return _Tag(name, core, step=not _STEP.isdisjoint(words), epoch="epoch" in words)


def epoch_axis(tags: Mapping[str, Points]) -> str | None:
    """The tag that says which epoch it is: ``epoch``, ``train/epoch``, ``trainer/epoch``, ``current_epoch``."""
    axes = [one.name for one in map(_tag, tags) if one.epoch and set(one.core) <= {"train", "trainer", "current"}]
    return min(axes, key=len, default=None)


def chosen(run: LoggedRun, loss: str | None, epoch_loss: str | None) -> Chosen | None:
    """The tags of the run's loss; ``None`` where it has none.

    Raises:
        UsageError: two tags are equally likely; it lists what is there.
    """
    tags = [_tag(name) for name in run.points]
    step = _asked(run, loss) if loss is not None else _likely(run, [one for one in tags if not one.epoch])
    if epoch_loss is not None:
        epoch = epoch_loss if epoch_loss in run.points else None
    elif step is not None:
        epoch = _twin(_tag(step), tags)
    elif loss is not None:
        epoch = f"{loss}_epoch" if f"{loss}_epoch" in run.points else None
    else:
        epoch = _likely(run, [one for one in tags if one.epoch])
    return None if step is None and epoch is None else Chosen(step, epoch)


def _asked(run: LoggedRun, loss: str) -> str | None:
    """The tag that was asked for; Lightning logs ``train_loss`` as ``train_loss_step`` and ``train_loss_epoch``."""
    return next((name for name in (loss, f"{loss}_step") if name in run.points), None)


def _twin(step: _Tag, tags: Sequence[_Tag]) -> str | None:
    """The epochs' tag of the same words, if it is the only one."""
    if step.epoch:
        return step.name
    twins = [one.name for one in tags if one.epoch and one.core == step.core]
    return twins[0] if len(twins) == 1 else None


def _likely(run: LoggedRun, tags: Sequence[_Tag]) -> str | None:
    levels = [one.level for one in tags if one.level is not None]
    if not levels:
        return None
    level = [one for one in tags if one.level == min(levels)]
    best = [one for one in level if one.step] or level
    if len(best) > 1:
        names = " or ".join(
            [repr(one.name) for one in best[:_NAMED]] + [f"{len(best) - _NAMED} more"] * (len(best) > _NAMED)
        )
        raise UsageError(f"{run.source}: which one is the loss? It could be {names}.\n{listing([run])}")
    return best[0].name


def listing(runs: Sequence[LoggedRun]) -> str:
    """The scalars that are there, with how many points each has, and what to type."""
    counts: dict[str, int] = {}
    for run in runs:
        for name, points in run.points.items():
            counts[name] = counts.get(name, 0) + len(points)
    width = max(map(len, counts))
    lines = [f"  {name:<{width}}  {count:>9,} points" for name, count in sorted(counts.items())[:_LISTED]]
    if len(counts) > _LISTED:
        lines.append(f"  and {len(counts) - _LISTED:,} more")
    return "\n".join(["Scalars there:", *lines, "Say which: --metric NAME (in Python: loss=NAME)"])
