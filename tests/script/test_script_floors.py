"""``parity record --draws``: a script's noise floors, from further runs of the script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, torch
from torch import nn
how = sys.argv[1] if len(sys.argv) > 1 else "plain"
torch.manual_seed(0)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(8, 64), nn.LayerNorm(64), nn.Linear(64, 1)

    def forward(self, x):
        if how == "rewritten":  # the same numbers, summed in another order
            h = sum(x[:, i : i + 1] * self.up.weight[:, i] for i in reversed(range(8))) + self.up.bias
            self.up(x)
        else:
            h = self.up(x)
        h = self.norm(h)
        return self.down(h * 1.0001 if how == "broken" else h)

net = Net()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
for step in range(3):
    x = torch.randn(16, 8)
    if how == "unseeded":
        x += torch.rand(1, generator=torch.Generator().manual_seed(torch.seed()))
    loss = net(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("the script ends")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("floors")
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    recorded = parity(directory, "record", "--steps", "0,1", "--draws", "2", "--", sys.executable, "train.py")
    assert recorded.returncode == 0, recorded.stderr
    assert "noise floor from 2 draws: 3 further runs of the script" in recorded.stderr
    assert recorded.stdout == "the script ends\n"  # once: further runs are silent
    return directory


def parity(directory: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_parity.cli", command, "--case", "net", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_golden_has_floors_and_every_byte_is_right(place: Path):
    assert json.loads((place / "golden/net/golden.json").read_text(encoding="utf-8"))["noise"]["draws"] == 2
    verified = subprocess.run(
        [sys.executable, "-m", "pytest_parity.cli", "verify", "golden"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout


def test_another_order_of_summing_is_within_the_floors(place: Path):
    found = parity(place, "check", "--weights", "--", sys.executable, "train.py", "rewritten")
    assert found.returncode == 0, found.stderr
    assert "nearest to its bound of 10 noise floors" in found.stderr


def test_a_factor_that_default_tolerances_would_let_pass_is_found(place: Path):
    found = parity(place, "check", "--weights", "--", sys.executable, "train.py", "broken")
    assert found.returncode == 1
    assert "net step 0: (model): what it hands to down is the first site that differs" in found.stderr


def test_steps_that_go_on_from_one_another_are_judged_without_the_floors(place: Path):
    found = parity(place, "check", "--", sys.executable, "train.py")
    assert found.returncode == 0, found.stderr
    assert "the dtypes' tolerances decide, not the noise floors" in found.stderr


def test_a_script_that_does_not_give_the_same_twice_has_no_floor_and_keeps_its_golden(tmp_path: Path):
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    recorded = parity(tmp_path, "record", "--first", "1", "--draws", "1", "--", sys.executable, "train.py", "unseeded")
    assert recorded.returncode == 0, recorded.stderr
    assert "no noise floor: run again, unchanged, the script does not give the same" in recorded.stderr
    assert "noise" not in json.loads((tmp_path / "golden/net/golden.json").read_text(encoding="utf-8"))
