"""Recording and checking without pytest's own machinery in between: a body, run as the reference and as the candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_parity.errors import ParityFailure
from pytest_parity.golden import Golden
from pytest_parity.result import Comparison
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions, Mode, Settings
from pytest_parity.site import Kind, Site

Body = Callable[[Parity], Any]


@dataclass
class Studio:
    """A directory of goldens; ``record`` and ``check`` run a body as the fixture ``parity`` would."""

    path: Path
    case: str = "case"

    def settings(self, mode: Mode, **options: Any) -> Settings:
        return Settings(mode=mode, case=self.case, root=self.path / "golden", out=self.path / "out", **options)

    def record(self, body: Body, marker: MarkerOptions | None = None, **options: Any) -> Golden:
        parity = Parity(self.settings(Mode.RECORD, marker=marker or MarkerOptions(), **options))
        try:
            body(parity)
            parity.finish(parity.repeating(body))
        finally:
            parity.abandon()
        return self.golden()

    def golden(self) -> Golden:
        return Golden.find(self.path / "golden", self.case)

    def check(self, body: Body, marker: MarkerOptions | None = None, **options: Any) -> Comparison:
        parity = Parity(self.settings(Mode.CHECK, marker=marker or MarkerOptions(), **options))
        try:
            body(parity)
            result = parity.finish()
        finally:
            parity.abandon()
        assert isinstance(result, Comparison)
        return result

    def failure(self, body: Body, **options: Any) -> ParityFailure:
        with pytest.raises(ParityFailure) as caught:
            self.check(body, **options)
        return caught.value

    def both(self, body: Body) -> Comparison:
        """Record a body, then check the same body: everything is compared, and equal bit for bit."""
        self.record(body)
        comparison = self.check(body)
        assert comparison.compared == comparison.expected
        assert comparison.counts == {"equal": comparison.expected}
        return comparison

    def sites(self, kind: Kind, step: int = 0) -> list[str]:
        return [str(entry.site) for entry in self.golden().entries(step) if entry.site.kind is kind]

    def tensor(self, site: str, step: int = 0) -> torch.Tensor:
        golden = self.golden()
        entry = golden.entry(step, Site.parse(site))
        assert entry is not None, f"no {site}; there are {[str(e.site) for e in golden.entries(step)]}"
        return golden.tensor(entry)


def single(model: torch.nn.Module, x: torch.Tensor, call: Callable[..., Any] | None = None) -> Body:
    """A test of one step: forward, sum of squares of every float output, backward."""

    def body(parity: Parity) -> None:
        with parity.watch(model):
            model.zero_grad()
            out = (call or model)(parity.input("x", x.clone))
            total(out).backward()

    return body


def total(out: Any) -> torch.Tensor:
    if isinstance(out, torch.Tensor):
        return out.double().square().sum()
    values = out.values() if isinstance(out, dict) else vars(out).values() if hasattr(out, "__dict__") else out
    parts = [total(one) for one in values if isinstance(one, torch.Tensor) and one.is_floating_point()]
    return torch.stack(parts).sum()
