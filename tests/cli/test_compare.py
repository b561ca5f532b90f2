"""``parity compare``: what it says of two recordings, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from cli_command import Command, training
from parity_studio import Studio
from recordings import Two

from pytest_parity.compare.judge import judge
from pytest_parity.report.compared import compared_lines
from pytest_parity.report.survey import KindFound, Survey
from pytest_parity.result import Comparison, Delta, Noise, Spread, Tolerance, Verdict
from pytest_parity.session.inventory import badness


def line(out: str, start: str) -> str:
    (found,) = [one for one in out.splitlines() if one.startswith(start)]
    return found


def nudged(site: str, value: torch.Tensor) -> torch.Tensor:
    return value * (1 + 2e-7) if value.is_floating_point() else value


def test_recordings_of_one_program_agree(two: Two):
    two.record(training(steps=2), training(steps=2))
    done = two.compare()
    assert done.status == 0, done.out
    golden = two.reference.golden()
    sites = sum(len(golden.entries(step)) for step in golden.steps)
    assert f"no divergence: {sites} of {sites} sites compared in steps 0-1: {sites} equal" in done.out.splitlines()
    assert "  74 parameters in 6 tensors in the reference, 74 parameters in 6 tensors in the candidate" in done.out
    assert "  6 of 6 tensors in common; of these 6 match in shape, 6 in dtype" in done.out
    assert line(done.out, "gradients: ") == "gradients: 12 of 12 match (100.0%): 12 equal"


def test_the_module_that_went_wrong_is_named(two: Two):
    two.record(training(), training(hidden=1.01))
    done = two.compare()
    assert done.status == 1
    assert line(done.out, "first divergence: ") == (
        "first divergence: step 0: (model): what it hands to norm is the first site that differs, "
        "after activation/first#0 agreed"
    )


def test_the_loss_has_both_values(two: Two):
    two.record(training(), training(2.0))
    losses = [two.place(one) for one in (two.reference, two.candidate)]
    theirs, ours = (json.loads((path / "golden.json").read_text())["steps"]["0"]["loss"]["loss"] for path in losses)
    assert line(two.compare().out, "  step 0: ") == (
        f"  step 0: differs, reference {theirs:.9g}, candidate {ours:.9g}, apart by {ours - theirs:.3g}"
    )


def test_losses_that_look_the_same_get_more_digits(two: Two):
    two.reference.record(lambda parity: parity.assert_loss(torch.tensor(1.0, dtype=torch.float64)))
    two.candidate.record(lambda parity: parity.assert_loss(torch.tensor(1 + 1e-12, dtype=torch.float64)))
    assert "reference 1, candidate 1.000000000001, apart by 1e-12" in two.compare().out


def test_how_far_outputs_are_apart(two: Two):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    two.reference.record(lambda parity: parity.assert_outputs(x))
    two.candidate.record(lambda parity: parity.assert_outputs(x + torch.tensor([0.0, 0.1, 0.2, 0.1])))
    (found,) = json.loads(two.compare("--json").out)["outputs"]
    metrics = found["metrics"]
    assert metrics["max_abs"] == pytest.approx(0.2)
    assert metrics["mean_abs"] == pytest.approx(0.1)
    row = line(two.compare().out, "  output/outputs").split()
    assert row[1] == "differs"
    far = torch.tensor([0.0, 0.1, 0.2, 0.1])
    shown = [0.2, 0.1, float(far.std(correction=0)), float(far.norm() / x.norm())]
    assert [float(number) for number in row[2:6]] == pytest.approx(shown, rel=1e-2)


def test_what_passes_and_is_not_equal_is_measured(two: Two):
    two.reference.record(training())
    two.rewrite(nudged)
    done = two.compare("--json")
    assert done.status == 0, done.out
    (gradients,) = [one for one in json.loads(done.out)["kinds"] if one["kind"] == "gradient"]
    assert gradients["counts"] == {"close": 5, "vacuous": 1}  # a bias before a batch norm: zeros would have passed
    passing = [delta for delta in gradients["worst"] if delta["verdict"] == "close"]
    assert len(passing) == 5
    for delta in passing:
        theirs, ours = (one.tensor(delta["site"]) for one in (two.reference, two.candidate))
        far = (ours.double() - theirs.double()).abs()
        assert delta["spread"]["max_abs"] == pytest.approx(float(far.max()), rel=1e-4)
        assert delta["spread"]["mean_abs"] == pytest.approx(float(far.mean()), rel=1e-4)
        assert delta["spread"]["rmse"] == pytest.approx(float(far.square().mean().sqrt()), rel=1e-4)
        assert delta["spread"]["relative_l2"] == pytest.approx(float(far.norm() / theirs.double().norm()), rel=1e-4)


def test_the_same_by_noise_floors(two: Two):
    two.reference.record(training(), draws=3)
    two.rewrite(lambda site, value: value * (1 + 2e-7) if site.startswith("activation/") else value)
    done = two.compare("--json", "--kind", "activation")
    assert done.status == 0, done.out
    (found,) = json.loads(done.out)["kinds"]
    for delta in found["worst"]:
        theirs, ours = (one.tensor(delta["site"]) for one in (two.reference, two.candidate))
        far = (ours.double() - theirs.double()).abs()
        assert delta["noise"] is not None
        assert delta["spread"]["max_abs"] == pytest.approx(float(far.max()), rel=1e-4)
        assert delta["spread"]["mean_abs"] == pytest.approx(float(far.mean()), rel=1e-4)
    assert found["worst"]


def test_ten_of_a_kind_the_worst_first(two: Two):
    x = torch.ones(4)
    two.reference.record(lambda parity: [parity.assert_close(f"value{i}", x) for i in range(14)])
    two.candidate.record(lambda parity: [parity.assert_close(f"value{i}", x + i / 100) for i in range(14)])
    (found,) = json.loads(two.compare("--json").out)["kinds"]
    assert [delta["site"] for delta in found["worst"]] == [f"output/value{i}" for i in range(13, 3, -1)]
    assert (found["sites"], found["matched"], found["moved"]) == (14, 1, 13)


def test_whatever_passes_is_not_worse_than_what_fails():
    metrics = judge(torch.tensor([100, 100]), torch.tensor([100, 101]), Tolerance(0.0, 0.0)).metrics
    fails = Delta("batch/x", 0, 0, Verdict.DIFFERS, metrics=metrics)
    passes = Delta("batch/y", 0, 1, Verdict.CLOSE, noise=Noise(9.0, 1.0, 0.0, 1.0, 10.0), spread=Spread(1, 1, 1, 0.9))
    missing = Delta("batch/z", 0, 2, Verdict.MISSING)
    assert sorted([passes, fails, missing], key=badness, reverse=True) == [missing, fails, passes]


def test_what_fails_stands_before_what_passes(two: Two):
    two.reference.record(training())
    two.rewrite(lambda site, value: value * 1.01 if site == "gradient/last.bias" else nudged(site, value))
    out = two.compare().out.splitlines()
    at = next(place for place, text in enumerate(out) if text.startswith("gradients: 4 of 6 match (66.7%): "))
    assert re.match(r"  gradient/last\.bias +differs ", out[at + 2])


@pytest.mark.parametrize(
    ("matched", "share"), [(2999, "above 99.9%"), (1, "below 0.1%"), (3000, "100.0%"), (0, "0.0%")]
)
def test_a_rate_is_not_rounded_to_all_or_nothing(matched: int, share: str):
    counts = {name: count for name, count in (("close", matched), ("differs", 3000 - matched)) if count}
    nothing = Comparison("case", 0, 0, {}, {}, ())
    survey = Survey("one", "other", (0,), (0,), nothing, kinds=(KindFound("gradient", 3000, counts),))
    assert f"gradients: {matched:,} of 3,000 match ({share}): " in "\n".join(compared_lines(survey))


def test_what_zeros_would_have_passed_is_no_match(two: Two):
    two.reference.record(lambda parity: parity.assert_outputs(torch.full((4,), 1e-7)))
    two.candidate.record(lambda parity: parity.assert_outputs(torch.zeros(4)))
    done = two.compare("--json")
    assert done.status == 1
    (found,) = json.loads(done.out)["kinds"]
    assert (found["counts"], found["matched"]) == ({"vacuous": 1}, 0)


def test_a_tolerance_of_ones_own(two: Two):
    two.record(training(), training(1.001))
    assert two.compare().status == 1
    assert two.compare("--rtol", "0.01", "--atol", "1e-4").status == 0
    assert two.compare("--rtol", "1e-5", "--atol", "1e-5").status == 1


def test_one_tolerance_without_the_other_is_trouble(two: Two):
    two.record(training(), training())
    done = two.compare("--rtol", "0.01")
    assert done.status == 2
    assert done.err.startswith("parity compare: --rtol, --atol: rtol=0.01 without atol; give both")


def test_noise_floors_decide_where_there_are_some(two: Two):
    two.record(training(), training(1.0001), draws=3)
    assert two.compare("--kind", "activation").status == 1
    assert " floors of 10" in two.compare("--kind", "activation").out
    assert two.compare("--kind", "activation", "--rtol", "1e-3", "--atol", "1e-6").status == 0


def test_a_step_that_only_one_of_them_has_fails(two: Two):
    two.record(training(steps=2), training(steps=1))
    done = two.compare()
    assert done.status == 1
    assert "the reference has steps 0-1, the candidate step 0" in done.out
    assert "first divergence: step 1 of the golden was never run" in done.out
    two.record(training(steps=1), training(steps=2))
    assert two.compare().status == 1
    assert two.compare("--step", 0).status == 0


def test_another_environment_is_shown(two: Two):
    two.reference.record(training())
    two.rewrite(nudged)
    path = two.place(two.candidate)
    assert "the environment is not" not in two.compare().out
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        two.candidate.record(training(1.1))
    finally:
        torch.set_num_threads(threads)
    assert f"  threads: {threads + 1} here, {threads} in the golden" in two.compare().out
    assert path.is_dir()


def test_what_an_optimizer_was_set_to_is_shown(two: Two):
    two.record(training(lr=0.05), training(lr=0.06))
    done = two.compare()
    assert "  lr of SGD: 0.06 here, 0.05 in the golden" in done.out


def test_an_update_is_judged_as_new_minus_start(two: Two):
    two.record(training(lr=1e-7), training(lr=2e-7))
    assert two.compare("--kind", "updated_weight", "--rtol", "1e-3", "--atol", "1e-12").status == 1


def test_updates_have_each_their_own_start(two: Two):
    two.record(training(lr=0.05), training(lr=0.05))
    two.rewrite(lambda site, value: value + 0.25 if "weight/last.bias" in site else value)  # the start and the end
    both = json.loads(two.compare("--json", "--kind", "weight", "--kind", "updated_weight").out)["kinds"]
    assert {one["kind"]: one["counts"].get("differs", 0) for one in both} == {"weight": 1, "updated_weight": 0}
    alone = two.compare("--kind", "updated_weight")
    assert alone.status == 0, alone.out


def test_json_is_the_whole_comparison(two: Two):
    two.record(training(), training(1.5))
    found = json.loads(two.compare("--json").out, parse_constant=pytest.fail)
    assert found["passed"] is False
    assert found["structure"]["common"] == 6
    comparison = Comparison.from_plain(found["comparison"])
    assert comparison.diagnosis is not None
    assert comparison.failures


def test_save_writes_the_whole_comparison_once_and_again(two: Two, tmp_path: Path):
    two.record(training(), training(1.5))
    saved = tmp_path / "found.json"
    assert two.compare("--save", saved).status == 1
    first = json.loads(saved.read_text())
    assert first == {"written_by": "parity compare", **json.loads(two.compare("--json").out)}
    assert two.compare("--save", saved, "--step", 0).status == 1
    assert list(tmp_path.glob(".found*")) == []


def test_save_does_not_write_over_what_someone_else_wrote(two: Two, tmp_path: Path):
    two.record(training(), training())
    for content in ("notes", '{"written_by": "me"}', "[]"):
        (tmp_path / "notes.json").write_text(content)
        done = two.compare("--save", tmp_path / "notes.json")
        assert done.status == 2
        assert "is there already, and parity compare did not write it; give another name" in done.err
        assert (tmp_path / "notes.json").read_text() == content


def test_save_needs_a_directory(two: Two, tmp_path: Path):
    two.record(training(), training())
    done = two.compare("--save", tmp_path / "none/found.json")
    assert done.status == 2
    assert f"there is no directory {tmp_path / 'none'}" in done.err


def test_a_recording_beside_itself_is_trouble(two: Two):
    two.record(training(), training())
    done = two.run("compare", two.place(two.reference), two.place(two.reference))
    assert done.status == 2
    assert "which agrees with itself; give two recordings" in done.err


def test_cases_by_name(studio: Studio, parity_command: Command):
    for case in ("one", "other"):
        Studio(studio.path, case).record(training())
    assert parity_command("compare", "one", "other", "--root", studio.path / "golden").status == 0


def test_a_damaged_recording_is_trouble(two: Two):
    two.record(training(), training())
    path = two.place(two.candidate) / "step_0/activations.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = two.compare()
    assert done.status == 2
    assert "is damaged: the digest of its" in done.err


def test_nothing_is_kept_of_either(two: Two, monkeypatch: pytest.MonkeyPatch):
    """Weights that differ are read again where an update needs them, and not copied to a temporary file."""
    monkeypatch.setattr("tempfile.TemporaryFile", pytest.fail)
    two.reference.record(training())
    two.rewrite(nudged)
    assert two.compare().status == 0


def test_a_shape_that_differs_has_its_own_words(two: Two):
    two.reference.record(lambda parity: parity.assert_outputs(torch.ones(2, 3)))
    two.candidate.record(lambda parity: parity.assert_outputs(torch.ones(3, 2)))
    assert "shape (2, 3) expected, got (3, 2)" in line(two.compare().out, "  output/outputs")
