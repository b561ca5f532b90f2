"""``with check(...)``: a loop of one's own as the candidate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from own_loop import batches, checked, made, train
from torch import nn

from pytest_parity import ParityFailure, check, record
from pytest_parity.session.loop import Loop


def failing(**options: Any) -> ParityFailure:
    with pytest.raises(ParityFailure) as caught:
        checked(**options)
    return caught.value


@pytest.mark.usefixtures("golden")
def test_the_same_loop_agrees_bit_for_bit_from_the_references_weights() -> None:
    run = checked()
    found = run.comparison()
    assert found is not None
    assert found.passed
    assert found.counts == {"equal": found.expected}
    assert found.steps == (0, 1, 2)
    assert run.failure is None
    assert str(run).startswith(f"case: {found.compared} of {found.expected} sites compared in steps 0-2: ")


@pytest.mark.usefixtures("golden")
def test_without_weights_the_candidates_own_are_compared() -> None:
    assert checked(seed=0, weights=False).failure is None
    failure = failing(seed=1, weights=False)
    assert str(failure).startswith(
        "case step 0: the weight 0.weight differs before the step's forward pass\n"
        "  to start from the reference's weights: parity.load(model) in a test, weights=True around a loop or in a callback, "
        "--weights for a script\n"
    )


@pytest.mark.usefixtures("golden")
def test_a_failure_names_the_module_and_shows_every_step() -> None:
    failure = failing(eps=1e-3)
    assert str(failure).startswith(
        "case step 0: module 1 is the first module whose output differs while its inputs agree"
    )
    assert failure.comparison is not None
    assert {delta.step for delta in failure.comparison.failures} == {0, 1, 2}


@pytest.mark.usefixtures("golden")
def test_raises_false_leaves_the_failure_to_the_caller() -> None:
    run = checked(scale=1.5, raises=False)
    assert run.failure is not None
    found = run.comparison()
    assert found is run.failure.comparison
    assert found is not None
    assert not found.passed
    assert str(run).startswith("case: FAILED: ")


@pytest.mark.usefixtures("golden")
def test_the_process_ends_with_1_and_the_first_divergence(place: Path) -> None:
    script = (
        "from own_loop import made, train\nfrom pytest_parity import check\nimport sys\n"
        "model, optimizer = made(eps=1e-3)\n"
        "with check('golden', 'case', model, optimizer) as run: train(run, model, optimizer)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place,
        env={"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ParityFailure: case step 0: module 1 is the first module whose output differs" in done.stderr


@pytest.mark.usefixtures("golden")
def test_what_fails_is_left_as_pytests_option_leaves_it(place: Path) -> None:
    failing(scale=2.0)
    assert (place / ".parity/case/golden.json").is_file()
    assert (place / ".parity/.gitignore").read_text() == "*\n"
    failing(scale=2.0, out="elsewhere")
    assert (place / "elsewhere/case/golden.json").is_file()
    checked()
    assert not (place / ".parity/case").exists()


@pytest.mark.usefixtures("golden")
def test_tolerances_the_whole_checks_and_by_site() -> None:
    found = checked(scale=1.0 + 1e-4, raises=False).comparison()
    assert found is not None
    kinds = {delta.site.partition("/")[0] for delta in found.failures}
    assert {"loss", "gradient"} <= kinds
    assert checked(scale=1.0 + 1e-4, rtol=1e-3, atol=1e-6).failure is None
    table = dict.fromkeys(kinds, (1e-3, 1e-6))
    assert checked(scale=1.0 + 1e-4, tolerances=table).failure is None
    less = {**table, "loss/*": (0.0, 0.0)}
    found = checked(scale=1.0 + 1e-4, rtol=1e-3, atol=1e-6, tolerances=less, raises=False).comparison()
    assert found is not None
    assert {delta.site for delta in found.failures} == {"loss/loss"}


@pytest.mark.usefixtures("golden")
def test_a_factor_of_the_noise_floor() -> None:
    assert checked(scale=1.0 + 1e-5, raises=False).failure is not None
    assert checked(scale=1.0 + 1e-5, factor=1e4).failure is None


@pytest.mark.usefixtures("golden")
def test_what_is_ignored_by_name_is_not_judged() -> None:
    failing(scale=2.0)
    assert checked(scale=2.0, ignore=["loss/*", "gradient/*", "updated_weight/*", "optimizer/*"]).failure is None


class Renamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.drop, self.down = nn.Linear(4, 6), nn.LayerNorm(6), nn.Dropout(0.2), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down(self.drop(self.norm(self.up(x))))
        return out


@pytest.mark.usefixtures("golden")
def test_a_candidate_with_names_of_its_own() -> None:
    model = Renamed()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    names = {"up": "0", "norm": "1", "drop": "2", "down": "3"}
    with check("golden", "case", model, optimizer, weights=True, names=names) as run:
        train(run, model, optimizer)
    assert run.comparison().counts == {"equal": run.comparison().expected}  # type: ignore[union-attr]


def test_a_loop_of_one_step_without_steps() -> None:
    model, _ = made()
    x = torch.ones(3, 4)

    def one_step(run: Loop, model: nn.Module) -> None:
        model.zero_grad()
        out = model(run.input("x", lambda: x))
        out.sum().backward()
        run.assert_outputs(out)

    with record("golden", "case", model) as run:
        one_step(run, model)
    other, _ = made(seed=1)
    with check("golden", "case", other, weights=True) as run:
        one_step(run, other)
    assert run.comparison().passed  # type: ignore[union-attr]


def test_the_randomness_is_the_goldens(place: Path) -> None:
    """Also where it was recorded with its own: a check then seeds nothing either."""
    for rng in ("keyed", "global", "off"):
        model, optimizer = made()
        with record(rng, "case", model, optimizer, rng=rng, seed=3) as run:
            train(run, model, optimizer)
        model, optimizer = made()
        with check(rng, "case", model, optimizer) as run:
            train(run, model, optimizer)
        found = run.comparison()
        assert found is not None
        assert found.passed, rng
        assert "seed" not in found.environment


@pytest.mark.usefixtures("golden")
def test_a_configuration_that_is_another_stands_beside_the_failure() -> None:
    model, optimizer = made()
    with record("golden", "configured", model, optimizer, config={"model": {"eps": 1e-5}}) as run:
        train(run, model, optimizer)
    model, optimizer = made(eps=1e-3)
    with check("golden", "configured", model, optimizer, config={"model": {"eps": 1e-3}}, raises=False) as run:
        train(run, model, optimizer)
    assert "model.eps in the configuration: 0.001 here, 1e-05 in the golden" in str(run.failure)


@pytest.mark.usefixtures("golden")
def test_pytests_plugin_and_pytest_itself_are_not_needed(place: Path) -> None:
    script = (
        "import sys\nfrom own_loop import made, train\nfrom pytest_parity import check\n"
        "model, optimizer = made()\n"
        "with check('golden', 'case', model, optimizer) as run: train(run, model, optimizer)\n"
        "print('pytest' in sys.modules, run)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=place,
        env={"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("False case: ")


def test_a_helper_inside_the_loop_sees_what_is_known_so_far(golden: Path) -> None:
    assert golden.is_dir()
    model, optimizer = made(eps=1e-3)
    seen = []
    with check("golden", "case", model, optimizer, raises=False) as run:
        for batch in run.steps(batches()):
            out = model(batch)
            optimizer.zero_grad()
            out.square().mean().backward()
            optimizer.step()
            run.assert_outputs(out)
            found = run.comparison()
            assert found is not None
            seen.append((run.step, {delta.step for delta in found.failures}))
    assert seen == [(0, {0}), (1, {0, 1}), (2, {0, 1, 2})]
