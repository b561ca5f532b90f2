"""``--parity-probe``: recorded once, its checks feed the probes by themselves, with xdist too."""

from __future__ import annotations

import pytest

from .project import Run, contents, manifest

MODEL = """
    import os
    import torch
    from torch import nn

    EPS = float(os.environ.get("EPS", "1e-5"))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.last = nn.Linear(8, 16), nn.LayerNorm(16, eps=EPS), nn.Linear(16, 4)

        def forward(self, x):
            return self.last(self.norm(10 * self.first(x)).tanh())

    def step(parity):
        torch.manual_seed(0)
        model = parity.load(Net().to(torch.bfloat16))
        with parity.watch(model):
            loss = model(parity.input("x", lambda: torch.randn(16, 8).to(torch.bfloat16))).float().square().mean()
            loss.backward()
        parity.assert_step(loss=loss)

    def test_net(parity):
        step(parity)

    def test_again(parity):
        step(parity)
"""


@pytest.fixture
def net(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("EPS", raising=False)
    pytester.makepyfile(test_net=MODEL)
    return pytester


def test_an_eps_that_ordinary_data_hides_passes_without_probes_and_fails_with_them(
    net: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--parity-record").ret == 0
    monkeypatch.setenv("EPS", "1e-6")
    assert run().ret == 0
    monkeypatch.delenv("EPS")
    recorded = run("--parity-record", "--parity-probe")
    recorded.stdout.fnmatch_lines(["*2 recorded*"])
    assert run().ret == 0
    monkeypatch.setenv("EPS", "1e-6")
    failed = run()
    assert failed.ret == 1
    failed.stdout.fnmatch_lines(
        [
            "*test_net/test_net step 0: norm differs where ordinary data does not show it: when it is fed its inputs times 1e-4"
        ]
    )
    failed.assert_outcomes(failed=2)


def test_the_recording_says_what_was_probed_and_a_check_counts_it(net: pytest.Pytester) -> None:
    net.runpytest("--parity-record", "--parity-probe", "-rA").stdout.fnmatch_lines(["*probes of 3 modules*"])
    case = net.path / "golden" / "test_net" / "test_net"
    settings = manifest(case)["settings"]
    assert isinstance(settings, dict)
    assert "probe" in settings["kinds"]
    assert "step_0/probes.safetensors" in contents(case)


def test_without_the_option_a_recording_is_what_it_was(net: pytest.Pytester) -> None:
    assert net.runpytest("--parity-record").ret == 0
    assert not [name for name in contents(net.path / "golden") if "probe" in name]
    assert b"probe" not in (net.path / "golden" / "test_net" / "test_net" / "golden.json").read_bytes()


def test_the_option_on_a_check_of_a_golden_without_probes_says_how_to_have_them(net: pytest.Pytester) -> None:
    assert net.runpytest("--parity-record").ret == 0
    result = net.runpytest("--parity-probe")
    assert result.ret == 1
    said = "pytest --parity-record --parity-probe; its checks then feed them without an option"
    result.stdout.fnmatch_lines([f"*the golden of test_net/test_net has no probes. Record it with them: {said}*"])
    assert net.runpytest("--parity-record", "--parity-probe").ret == 0
    assert net.runpytest("--parity-probe").ret == 0


def test_the_selftest_tells_that_probes_catch_an_eps(net: pytest.Pytester) -> None:
    for options, found in (
        ((), "*eps times 1000 * 1 * 0 * 1 * 0*"),
        (("--parity-probe",), "*eps times 1000 * 1 * 1 * 0 * 0 *probe 1"),
    ):
        assert net.runpytest("--parity-record", *options, "-k", "test_net").ret == 0
        before = contents(net.path / "golden")
        net.runpytest("--parity-selftest", "-k", "test_net").stdout.fnmatch_lines([found])
        assert contents(net.path / "golden") == before
