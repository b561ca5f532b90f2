"""Modules whose candidates are faulty in known ways, and the script of a reproduction run where there is torch alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from parity_studio import Body
from torch import nn

ALL = (
    "batch",
    "weight",
    "input",
    "activation",
    "output",
    "loss",
    "activation_gradient",
    "gradient",
    "optimizer",
    "updated_weight",
)
SERVER = """
import importlib.abc, json, os, runpy, sys, traceback
import torch

class Absent(importlib.abc.MetaPathFinder):
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}")

def run(script, arguments, block, out, err):
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT), 2)
    os.chdir(os.path.dirname(script))
    sys.meta_path.insert(0, Absent(block))
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 3

for line in sys.stdin:
    child = os.fork()
    if not child:
        status = run(*json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""A process that has imported torch and nothing else, and forks for each script: importing torch takes seconds."""


class Norms(nn.Module):
    """A LayerNorm between two layers."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.LayerNorm(8, eps=eps), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)).relu())


class Block(nn.Module):
    """A feed-forward with a residual, a function and a dropout among its attributes, a keyword among its arguments."""

    def __init__(self, scale: float = 1.0, rate: float = 0.5) -> None:
        super().__init__()
        self.up, self.drop, self.down = nn.Linear(4, 8), nn.Dropout(rate), nn.Linear(8, 4)
        self.activation = torch.nn.functional.gelu
        self.scale = scale
        self.sizes = {"up": (4, 8), "dtype": torch.float32}
        self.register_buffer("table", torch.arange(4.0), persistent=False)

    def forward(self, x: torch.Tensor, *, residual: bool, mask: torch.Tensor | None = None) -> torch.Tensor:
        y = self.down(self.drop(self.activation(self.up(x * self.scale + self.table))))
        y = y if mask is None else y * mask
        return x + y if residual else y


class Blocks(nn.Module):
    """Two of them."""

    def __init__(self, scale: float = 1.0, rate: float = 0.5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(rate=0.5), Block(scale, rate)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, residual=True, mask=torch.ones(4))
        return x


class Recurrent(nn.Module):
    """Two fused recurrent layers, with a dropout of their own."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 6, 2, batch_first=True, dropout=dropout), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x.view(3, 5, 4))[0])


class Attention(nn.Module):
    """torch's attention, with the two masks that it takes."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.att = nn.MultiheadAttention(4, heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.view(3, 5, 4)
        causal = torch.full((5, 5), -torch.inf).triu(1)
        padded = torch.zeros(3, 5).masked_fill(torch.tensor([[0, 0, 0, 0, 1]] * 3).bool(), -torch.inf)
        return self.att(x, x, x, attn_mask=causal, key_padding_mask=padded, need_weights=False)[0]


class Convolution(nn.Module):
    """A convolution and a norm whose buffers move."""

    def __init__(self, mode: str = "zeros", momentum: float = 0.1) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 4, 3, padding=1, padding_mode=mode), nn.BatchNorm1d(4, momentum=momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x.view(3, 5, 4).transpose(1, 2)))


class Tied(nn.Module):
    """One layer called twice, its weight under two names."""

    def __init__(self, slope: float = 0.1) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(4, 4), nn.LeakyReLU(slope), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.act(self.act(self.first(x))))


def training(kind: type[nn.Module], *args: object, kinds: tuple[str, ...] = ALL, **options: float) -> Body:
    """A training step of such a module; ``options`` are AdamW's."""

    def body(parity) -> None:
        torch.manual_seed(1)
        model = parity.load(kind(*args))
        optimizer = torch.optim.AdamW(model.parameters(), **{"lr": 0.01, **options})
        with parity.watch(model, optimizer=optimizer, kinds=kinds) as run:
            for x in run.steps([torch.randn(15, 4, generator=torch.Generator().manual_seed(3))]):
                out = model(x)
                optimizer.zero_grad()
                out.square().mean().backward()
                optimizer.step()
                parity.assert_outputs(out)

    return body


@dataclass(frozen=True)
class Ran:
    """What a script has said."""

    status: int
    out: str
    err: str


class Alone:
    """Runs scripts where there is torch, and none of ``block``."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PARITY"))}
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(
        self, directory: Path, *arguments: str, block: tuple[str, ...] = ("pytest_parity", "pytest", "safetensors")
    ) -> Ran:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        with tempfile.TemporaryDirectory() as said:
            out, err = Path(said, "out"), Path(said, "err")
            request = [str(directory / "repro.py"), arguments, block, str(out), str(err)]
            self.server.stdin.write(json.dumps(request) + "\n")
            self.server.stdin.flush()
            return Ran(int(self.server.stdout.readline()), out.read_text(), err.read_text())

    def close(self) -> None:
        self.server.communicate()


def names(file: Path) -> list[str]:
    with safetensors.safe_open(file, framework="pt") as opened:
        return sorted(opened.keys())
