"""Scripts as someone runs them: ``parity record|check ... -- python train.py``, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_parity.cli import main

TRAIN = """
import os, sys, torch
from torch import nn
torch.manual_seed(int(os.environ.get("SEED", "0")))
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=float(os.environ.get("RATE", "0.01")))
dataset = torch.utils.data.TensorDataset(torch.randn(20, 4), torch.randn(20, 2))
for number, (x, y) in enumerate(torch.utils.data.DataLoader(dataset, batch_size=4)):
    loss = (model(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(number, loss.item(), flush=True)
    exec(os.environ.get("AMID", ""))
exec(os.environ.get("END", ""))
"""


@dataclass(frozen=True)
class Ran:
    """What a command has said, byte by byte, and its exit status."""

    status: int
    output: bytes
    errors: bytes

    @property
    def out(self) -> str:
        return self.output.decode()

    @property
    def err(self) -> str:
        return self.errors.decode()


@dataclass(frozen=True)
class Place:
    """A directory with a script ``train.py``, in which commands are run."""

    path: Path
    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[bytes]

    def __post_init__(self) -> None:
        (self.path / "train.py").write_text(TRAIN, encoding="utf-8")

    def run(self, *command: str, stdin: bytes = b"", **environment: str) -> Ran:
        """Run a command in a process."""
        done = subprocess.run(
            list(command), cwd=self.path, env=env(environment), input=stdin, capture_output=True, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def parity(self, *words: str, **environment: str) -> Ran:
        """Run ``parity`` in this process, which has torch already; the script has one of its own."""
        with self.patch.context() as patch:
            patch.chdir(self.path)
            patch.setenv("OMP_NUM_THREADS", "1")
            for name, value in environment.items():
                patch.setenv(name, value)
            self.captured.readouterr()
            status = main(words)
            said = self.captured.readouterr()
        return Ran(status, said.out, said.err)

    def record(self, *script: str, case: str = "nest/tiny", **environment: str) -> Ran:
        return self.parity("record", "--case", case, "--", *(script or PLAIN), **environment)

    def check(self, *script: str, case: str = "nest/tiny", **environment: str) -> Ran:
        return self.parity("check", "--case", case, "--", *(script or PLAIN), **environment)

    def litter(self) -> list[str]:
        """What a recording has left of its own below the goldens, but the goldens."""
        return sorted(path.name for path in (self.path / "golden").rglob(".*"))


PARITY = (sys.executable, "-m", "pytest_parity.cli")
PLAIN = (sys.executable, "train.py")


def env(more: Mapping[str, str]) -> dict[str, str]:
    """An environment without what would have a say in it."""
    named = {"CI", "PARITY_REF", "PARITY_SCRIPT", "PARITY_OUTCOMES", "PYTHONPATH", "FORCE_COLOR", "RANK"}
    own = {name: value for name, value in os.environ.items() if name not in named}
    return {**own, "OMP_NUM_THREADS": "1", **more}
