"""``--parity-isolate`` and the ini option ``parity_isolate``: when a test is run again with each module alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run

PROJECT = """
    import os
    import pytest
    import torch
    from torch import nn

    RUNS = []

    def broken(path, factor):
        def put(model):
            model.get_submodule(path).register_forward_hook(lambda _, _args, output: output * factor)
        return put

    FAULTS = {
        "two": [broken("0", 1.01), broken("2", 1.01)],
        "tiny": [broken("2", 1.000002)],
    }

    @pytest.fixture(scope="module")
    def model():
        torch.manual_seed(0)
        layers = [nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4)]
        return nn.Sequential(*layers)

    def test_net(parity, model):
        RUNS.append(1)
        print("run", len(RUNS))
        net = parity.load(model)
        if len(RUNS) == 1:
            for one in FAULTS.get(os.environ.get("FAULT"), ()):
                one(net)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with parity.watch(net, optimizer=optimizer) as run:
            for x in run.steps([torch.randn(8, 64) for _ in range(2)]):
                loss = net(x).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                parity.assert_loss(loss)
"""
ALONE = "alone, fed the golden's values, it is "


@pytest.fixture
def recorded(pytester: pytest.Pytester, run: Run) -> Path:
    pytester.makepyfile(test_net=PROJECT)
    run("--parity-record").assert_outcomes()
    return pytester.path


def test_a_failure_says_what_is_faulty_by_itself(recorded: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded.is_dir()
    monkeypatch.setenv("FAULT", "two")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_net/test_net step 0: module 0 is the first module whose output differs while its inputs agree",
            f"  {ALONE}* noise floors off (relative 0.01)",
            "  faulty by itself too:",
            "    2 returns another value: * noise floors off (relative 0.01)*",
        ]
    )


def test_never_leaves_the_failure_as_it_was(recorded: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (recorded / "pytest.ini").write_text("[pytest]\nparity_isolate = never\n", encoding="utf-8")
    monkeypatch.setenv("FAULT", "two")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_net/test_net step 0: module 0 is the first module whose output differs*"])
    result.stdout.no_fnmatch_line(f"*{ALONE}*")
    result.stdout.no_fnmatch_line("run 2")


def test_a_test_that_passes_is_run_once_unless_asked(recorded: Path, run: Run) -> None:
    assert recorded.is_dir()
    result = run("-rP")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["run 1"])
    result.stdout.no_fnmatch_line("run 2")
    asked = run("-rP", "--parity-isolate")
    asked.assert_outcomes(passed=1)
    asked.stdout.fnmatch_lines(["run 2"])


def test_asked_for_it_fails_where_a_module_differs_by_itself(
    recorded: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factor that declares a hundred floors lets it through as a whole; alone it does not."""
    (recorded / "pytest.ini").write_text("[pytest]\nparity_factor = 100\n", encoding="utf-8")
    monkeypatch.setenv("FAULT", "tiny")
    run().assert_outcomes(passed=1)
    result = run("--parity-isolate")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_net/test_net step *: module 2 is the first module whose output differs while its inputs agree",
            f"  {ALONE}* noise floors off (relative 2*e-06)",
        ]
    )


def test_another_word_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nparity_isolate = sometimes\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini option parity_isolate = 'sometimes' is none of: on-failure, always, never"])


def test_a_body_that_raises_when_run_again_leaves_the_failure_and_says_so(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        test_net=PROJECT.replace(
            'print("run", len(RUNS))', 'assert not os.environ.get("FAULT") or len(RUNS) < 2, "twice"'
        )
    )
    run("--parity-record").assert_outcomes()
    monkeypatch.setenv("FAULT", "two")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_net/test_net step 0: module 0 is the first module whose output differs while its inputs agree",
            "  modules were not looked at alone: run again, the test raises AssertionError: twice*",
        ]
    )


@pytest.mark.parametrize("loop", [True, False])
def test_what_a_test_asserts_itself_behind_the_watch_keeps_nothing_back(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch, *, loop: bool
) -> None:
    """The check ends the test before that; run again, it is reached."""
    step = "for x in run.steps([torch.ones(2, 64)]):" if loop else "for x in [torch.ones(2, 64)]:"
    pytester.makepyfile(
        test_net=f"""
        import os
        import torch
        from torch import nn

        def test_net(parity):
            torch.manual_seed(0)
            net = parity.load(nn.Sequential(nn.Linear(64, 64), nn.LeakyReLU(float(os.environ.get("SLOPE", 0.1)))))
            with parity.watch(net) as run:
                {step}
                    net.zero_grad()
                    loss = net(x).square().mean()
                    loss.backward()
                    parity.assert_loss(loss)
            assert "SLOPE" not in os.environ, "its own"
        """
    )
    run("--parity-record").assert_outcomes()
    monkeypatch.setenv("SLOPE", "0.2")
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"  {ALONE}* noise floors off (relative *)"])


def test_a_recording_isolates_nothing_and_says_so(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_net=PROJECT)
    result = run("--parity-record", "--parity-isolate")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--parity-isolate looks at what is checked, and this run records; record first, then run*"]
    )
