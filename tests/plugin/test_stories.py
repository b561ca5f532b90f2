"""The three shapes of a test, each recorded, checked and broken."""

from __future__ import annotations

import pytest

from .project import Run

MODEL = """
    import os
    import pytest
    import torch

    class Mlp(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(4, 8)
            self.norm = torch.nn.LayerNorm(8, eps=1e-1 if "BREAK" in os.environ else 1e-5)
            self.last = torch.nn.Linear(8, 2)

        def forward(self, x):
            return self.last(self.norm(self.first(x)).relu())
"""

BARE = """
    def test_bare(parity):
        torch.manual_seed(0)
        parity.assert_close("logits", Mlp()(torch.ones(3, 4)))
"""

ONE_STEP = """
    def test_one_step(parity):
        model = parity.load(Mlp())
        x = parity.input("x", lambda: torch.randn(3, 4))
        with parity.watch(model):
            y = model(x)
            loss = y.square().mean()
            loss.backward()
        parity.assert_outputs(y)
        parity.assert_loss(loss)
        parity.assert_activations()
        parity.assert_gradients()
"""

MANY_STEPS = """
    @pytest.mark.parity("mlp/three")
    def test_many_steps(parity):
        model = Mlp()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        loader = [torch.randn(3, 4) for _ in range(5)]
        parity.load(model)
        with parity.watch(model, optimizer=optimizer) as run:
            for batch in run.steps(loader, limit=3):
                y = model(batch)
                loss = y.square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                parity.assert_step(outputs=y, loss=loss)
"""


@pytest.mark.parametrize(
    ("body", "culprit"), [(BARE, "logits"), (ONE_STEP, "norm"), (MANY_STEPS, "norm")], ids=["bare", "one_step", "steps"]
)
def test_recorded_checked_and_broken(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, body: str, culprit: str
):
    pytester.makepyfile(test_story=MODEL + body)
    assert run("--parity-record").parseoutcomes() == {"recorded": 1}
    checked = run()
    assert checked.ret == 0
    checked.stdout.re_match_lines([r"\S+: (\d+) of \1 sites? compared.*"])
    monkeypatch.setenv("BREAK", "1")
    broken = run()
    assert broken.ret == 1
    broken.stdout.re_match_lines([rf"FAILED test_story\.py::test_\w+ - .*step 0: .*\b{culprit}\b.*"])
