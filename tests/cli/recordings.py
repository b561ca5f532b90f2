"""Two recordings beside each other, for the tests of the commands that compare them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from cli_command import Command, Done
from parity_studio import Body, Studio

from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Site


@dataclass(frozen=True)
class Two:
    """The reference's studio, the candidate's, and the command that compares what they recorded."""

    reference: Studio
    candidate: Studio
    run: Command

    def record(self, reference: Body, candidate: Body, **options: object) -> None:
        self.reference.record(reference, **options)
        self.candidate.record(candidate)

    def compare(self, *arguments: object) -> Done:
        return self.run("compare", self.place(self.reference), self.place(self.candidate), *arguments)

    @staticmethod
    def place(studio: Studio) -> Path:
        return studio.path / "golden/case"

    def rewrite(self, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
        """Make the candidate's golden of the reference's, site by site; what becomes ``None`` is left out."""
        writer = GoldenWriter(self.candidate.path / "golden", "case")
        with self.reference.golden() as golden:
            for step in golden.steps:
                for entry in golden.entries(step):
                    value = change(str(entry.site), golden.tensor(entry))
                    if value is not None:
                        writer.write(step, entry.order, Site.parse(str(entry.site)), value)
                info = {name: one for name, one in golden.manifest["steps"][str(step)].items() if name != "sizes"}
                writer.finish_step(step, info)
            plain = {name: golden.manifest[name] for name in ("provenance", "settings", "structure", "history")}
            writer.commit(**plain)
