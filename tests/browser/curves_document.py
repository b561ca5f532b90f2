"""Training curves as `report/curve_model.py` says, made up: two experiments in other units, and one that was judged."""

from __future__ import annotations

import math
import random
from typing import Any

Values = list[float]


def falling(steps: int, *, seed: int = 0, start: float = 6.0, end: float = 2.0, noise: float = 0.1) -> Values:
    """A loss that falls as losses do, with noise that is larger at the start."""
    chance = random.Random(seed)
    sizes = [math.exp(-5 * at / steps) for at in range(steps)]
    return [end + (start - end) * size + chance.gauss(0, noise) * (0.4 + size) for size in sizes]


def line(label: str, role: str, values: Values, high: Values | None = None, **more: Any) -> dict[str, Any]:
    """A line with a value at each step from 1."""
    return {
        "label": label,
        "role": role,
        "steps": [*range(1, len(values) + 1)],
        "values": [*map(plain, values)],
        "high": [*map(plain, high or [])],
        **more,
    }


def plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def finding(check: str = "level", step: int = 3601, last: int = 4000, **more: Any) -> dict[str, Any]:
    found = {
        "check": check,
        "text": f"{check}: 0.21 above the seeds' mean",
        "step": step,
        "last": last,
        "count": last - step + 1,
    }
    return found | {"value": 2.21, "expected": 2.0, "low": 1.9, "high": 2.1, "share": 3.2, "detail": ""} | more  # fmt: skip


def judged(
    steps: int = 400, *, findings: list[dict[str, Any]] | None = None, values: Values | None = None
) -> dict[str, Any]:
    """A curve that fails, or passes where ``findings`` is empty, with a band and its mean."""
    mean = falling(steps, noise=0)
    found = [finding(step=steps * 9 // 10 + 1, last=steps)] if findings is None else findings
    given = values or [value + 0.2 * (at / steps) ** 2 for at, value in enumerate(falling(steps, seed=1))]
    lines = [
        line("here", "candidate", given),
        line("mean of 5 seeds", "mean", mean),
        line("band", "band", [value - 0.3 for value in mean], [value + 0.3 for value in mean]),
    ]
    headline = found[0]["text"] if found else f"{steps} of {steps} steps compared with 5 seeds"
    return {
        "name": "loss", "unit": "nats/token", "passed": not found, "headline": headline, "expected": steps, "compared": steps, "references": 5,
        "origin": "seeds", "equal": False, "nearest": "level", "share": 0.4, "findings": found, "lines": lines, "notes": [],
    }  # fmt: skip


def experiment(name: str, unit: str, runs: int, steps: int) -> dict[str, Any]:
    return {
        "name": name, "model_type": name.partition("_")[0].upper(), "unit": unit, "runs": runs, "steps": steps, "epochs": 5, "first": 6.01, "last": 2.04,
        "smoothed": 2.03, "lowest": 1.81, "lowest_step": steps - 7, "epoch": 2.05, "spread": 0.02 if runs > 1 else None, "nonfinite": 0, "hours": 4.5,
    }  # fmt: skip


def seeds(name: str, steps: int, end: float) -> list[dict[str, Any]]:
    """Three runs of one experiment, their mean and their band."""
    runs = [falling(steps, seed=seed, end=end) for seed in range(3)]
    told = [line(f"{name} seed {seed}", "run", values, experiment=name) for seed, values in enumerate(runs)]
    mean = [sum(values) / 3 for values in zip(*runs, strict=True)]
    low, high = [*map(min, *runs)], [*map(max, *runs)]
    return [*told, line(f"{name}, mean", "mean", mean, experiment=name), line(f"{name}, band", "band", low, high, experiment=name)]  # fmt: skip


def panel(unit: str, steps: list[dict[str, Any]], epochs: list[dict[str, Any]], metric: str = "loss") -> dict[str, Any]:
    return {"metric": metric, "unit": unit, "steps": steps, "smoothed": [], "window": 100, "epochs": epochs}


def curves(
    steps: int = 400, *, units: tuple[str, str] = ("nats/token, bound", "nats/token"), **more: Any
) -> dict[str, Any]:
    """An experiment of three seeds and one of a single run; in one panel where their units are the same."""
    mdlm, ar = "mdlm_wikitext", "ar_wikitext"
    several = seeds(mdlm, steps, 2.6), seeds(mdlm, 5, 2.6)
    alone = tuple([line(ar, "run", falling(many, seed=9), experiment=ar)] for many in (steps, 5))
    pairs = list(zip(units, (several, alone), strict=True))
    losses = [panel(unit, *drawn) for unit, drawn in pairs]
    if units[0] == units[1]:
        losses = [panel(units[0], several[0] + alone[0], several[1] + alone[1])]
    rate = [3e-4 * min(1, at / 40) * (1 + math.cos(math.pi * at / steps)) / 2 for at in range(steps)]
    norms = [1 + value for value in falling(steps, seed=5, end=0.2)]
    series = [
        panel("", [line(one, "run", rate, experiment=one) for one in (mdlm, ar)], [], "learning_rate"),
        panel("", [line(ar, "run", norms, experiment=ar)], [], "gradient_norm"),
    ]
    return {
        "title": "Training curves - WikiText-103-v1", "experiments": [experiment(mdlm, units[0], 3, steps), experiment(ar, units[1], 1, steps)],
        "losses": losses, "series": series, "differences": ["mdlm_wikitext and ar_wikitext: undecided, ar_wikitext has one run; train it with another seed"],
        "judged": [], "against": "", "notes": [],
    } | more  # fmt: skip
