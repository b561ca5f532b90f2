"""``parity record --probe``: a script's golden with probes, and its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, torch
from torch import nn
torch.manual_seed(0)
eps = float(os.environ.get("EPS", "1e-5"))
net = nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32, eps=eps), nn.Linear(32, 1)).bfloat16()
optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
for step in range(3):
    loss = net(torch.randn(16, 8).bfloat16()).float().square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item())
"""


def parity(directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_parity.cli", *words, "--", sys.executable, "train.py"],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_script_is_recorded_with_probes_and_its_check_names_an_eps(tmp_path: Path):
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    plain = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    recorded = parity(tmp_path, "record", "--case", "net", "--steps", "0", "--draws", "1", "--probe")
    assert recorded.returncode == 0, recorded.stderr
    assert recorded.stdout == plain.stdout  # its bits are those without us
    assert "probes of 3 modules" in recorded.stderr
    assert "noise floor from 1 draw" in recorded.stderr
    same = parity(tmp_path, "check", "--case", "net")
    assert same.returncode == 0, same.stderr
    other = parity(tmp_path, "check", "--case", "net", EPS="1e-6")
    assert other.returncode == 1, other.stderr
    assert (
        "net step 0: module 1 differs where ordinary data does not show it: when it is fed its inputs times 1e-4"
        in (other.stderr)
    )
