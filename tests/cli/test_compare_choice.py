"""``parity compare`` with ``--step``, ``--kind`` and ``--site``: these alone, and what is asked for must be there."""

from __future__ import annotations

import json

import pytest
import torch
from cli_command import training
from recordings import Two
from torch import nn

from pytest_parity import Golden, UsageError, Valid, compare_goldens


def sites(out: str) -> int:
    return json.loads(out)["comparison"]["compared"]


@pytest.fixture
def alike(two: Two) -> Two:
    two.record(training(steps=3), training(steps=3))
    return two


@pytest.mark.parametrize(
    "steps", [("--step", "0,2"), ("--step", "2", "--step", "0"), ("--step", "0, 2,2"), ("--steps", "0,2-2")]
)
def test_steps_alone(alike: Two, steps: tuple[str, ...]):
    done = alike.compare(*steps, "--json")
    assert done.status == 0
    found = json.loads(done.out)
    assert found["comparison"]["steps"] == [0, 2]
    golden = alike.reference.golden()
    assert sites(done.out) == len(golden.entries(0)) + len(golden.entries(2))


def test_a_step_that_differs_is_seen_only_where_it_is_asked_for(two: Two):
    two.reference.record(training(steps=2))
    seen: list[str] = []

    def change(site: str, value: torch.Tensor) -> torch.Tensor:
        seen.append(site)
        return value * 2 if site == "loss/loss" and seen.count(site) > 1 else value

    two.rewrite(change)
    assert two.compare("--step", 0).status == 0
    assert two.compare("--step", 1).status == 1
    assert two.compare().status == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--step", "7"), "step 7 is not in the reference; it has steps 0-2 ("),
        (("--kind", "gradients"), "'gradients' is no kind; did you mean 'gradient'? kinds are batch, weight, "),
        (
            ("--kind", "activation_gradient"),
            "kind 'activation_gradient' is not in the reference; it has batch, weight, ",
        ),
        (("--site", "frist"), "site 'frist' is not in the reference; did you mean 'first'?"),
        (
            ("--site", "gradient/frist.*"),
            "site 'gradient/frist.*' is not in the reference; did you mean 'gradient/first.",
        ),
        (
            ("--kind", "loss", "--site", "first"),
            "site 'first' is none of the kinds asked for; there is weight/first.weight",
        ),
        (("--site", "first", "--site", "zzzzzzzz"), "site 'zzzzzzzz' is not in the reference; there are "),
    ],
)
def test_what_is_not_there_is_trouble(alike: Two, arguments: tuple[str, ...], message: str):
    done = alike.compare(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"parity compare: {message}")


def test_a_step_that_the_candidate_has_not_is_trouble(two: Two):
    two.record(training(steps=3), training(steps=1))
    done = two.compare("--step", "0,2")
    assert done.status == 2
    assert "step 2 is not in the candidate; it has step 0 (" in done.err


def test_a_step_that_the_reference_has_not_fails_by_its_name(two: Two):
    """It is no difference of the data, and nothing explains it."""
    two.record(training(steps=1), training(steps=3))
    done = two.compare()
    assert done.status == 1
    assert "first divergence: step 1 is the candidate's alone; record the reference as far, or compare" in done.out
    assert "the likeliest explanation" not in done.out


def test_a_step_is_a_number(alike: Two, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        alike.compare("--step", "one")
    assert "'one' is no list of steps; write 0,1,2 or 0-4,10" in capsys.readouterr().err


def test_a_kind_alone(two: Two):
    two.record(training(), training(2.0))  # the output is another, and so are gradients and the loss
    assert two.compare().status == 1
    assert two.compare("--kind", "loss").status == 1
    done = two.compare("--kind", "weight", "--kind", "batch", "--json")
    assert done.status == 0
    assert {one["kind"] for one in json.loads(done.out)["kinds"]} == {"batch", "weight"}


def test_a_site_alone_with_all_below_it(two: Two):
    two.record(training(), training(2.0))
    done = two.compare("--site", "first", "--kind", "activation", "--kind", "weight", "--json")
    assert done.status == 0
    assert sites(done.out) == 3  # its output, weight and bias
    assert two.compare("--site", "gradient/*.bias").status == 1
    assert json.loads(two.compare("--site", "gradient/*.bias", "--json").out)["comparison"]["expected"] == 3


def test_nothing_of_the_structure_fails_that_is_not_asked_for(two: Two):
    def wide(width: int):
        def body(parity):
            torch.manual_seed(0)
            model = nn.ModuleDict({"used": nn.Linear(3, 2), "other": nn.Linear(3, width)})
            with parity.watch(model):
                model["used"](torch.ones(1, 3)).sum().backward()

        return body

    two.record(wide(2), wide(4))
    assert two.compare().status == 1
    assert two.compare("--site", "used").status == 0
    assert two.compare("--kind", "activation").status == 0


def test_a_mask_still_says_what_is_compared(two: Two):
    inside = torch.tensor([[True, True, False], [True, False, False]])

    def padded(rubbish: float):
        def body(parity):
            model = nn.Identity()
            with parity.watch(model, kinds=["activation"], valid={"(model)": Valid(mask=inside)}) as run:
                for x in run.steps([torch.arange(6.0).view(2, 3)]):
                    model(x.masked_fill(~inside, rubbish))

        return body

    two.record(padded(0.0), padded(9.0))
    done = two.compare("--kind", "activation", "--json")
    assert done.status == 0, done.out
    assert json.loads(done.out)["comparison"]["elements"] == 3


def test_in_python_too(alike: Two):
    one, other = alike.reference.golden(), alike.candidate.golden()
    found = compare_goldens(one, other, steps=[1], kinds=["gradient"], sites=["first"])
    assert (found.compared, found.steps, found.passed) == (2, (1,), True)
    with pytest.raises(UsageError, match="step 9 is not in the reference; it has steps 0-2"):
        compare_goldens(one, other, steps=[9])


def chained(scale: float):
    """The second module's input is the first one's output: one tensor on disk, two sites."""

    def body(parity):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3), nn.Identity())
        with torch.no_grad():
            model[0].weight *= scale
        with parity.watch(model, kinds=["input", "activation"]):
            model(torch.ones(2, 3))

    return body


def test_what_is_stored_once_is_judged_at_each_of_its_sites(two: Two):
    two.record(chained(1.0), chained(1.001))
    one, other = two.reference.golden(), two.candidate.golden()
    sites = {"activation/0#0", "input/1#0/in.0", "activation/1#0", "activation/(model)#0"}
    assert {delta.site for delta in compare_goldens(one, other).failures} == sites
    loose = compare_goldens(one, other, tolerances={"activation": (0.1, 0.0)})
    assert {delta.site for delta in loose.failures} == {"input/1#0/in.0"}
    loose = compare_goldens(one, other, tolerances={"activation/1#*": (0.1, 0.0)})
    assert {delta.site for delta in loose.failures} == sites - {"activation/1#0"}


def test_what_is_stored_once_is_read_once(two: Two, monkeypatch: pytest.MonkeyPatch):
    two.record(chained(1.0), chained(1.0))
    read: list[str] = []
    chunks = Golden.chunks

    def counting(self, entry, buffer):
        read.append(str(entry.site))
        return chunks(self, entry, buffer)

    monkeypatch.setattr(Golden, "chunks", counting)
    found = compare_goldens(two.reference.golden(), two.candidate.golden())
    assert found.compared == 6
    assert len(read) == 2 * 2  # the input and the first output, of either


def test_what_is_ignored_is_counted_and_fails_nothing(two: Two):
    two.reference.record(training())
    two.rewrite(lambda site, value: value * 2 if site.startswith("gradient/last") else value)
    assert two.compare().status == 1
    done = two.compare("--ignore", "gradient/last.*")
    assert done.status == 0, done.out
    assert "ignored by the test: 'gradient/last.*' 2 sites" in done.out
    done = two.compare("--ignore", "gradient/lsat.*")
    assert done.status == 2
    assert "ignore='gradient/lsat.*' matches no site that is compared; did you mean 'gradient/last." in done.err


def test_two_that_have_nothing_finite_do_not_agree(two: Two):
    nan = torch.tensor(float("nan"))
    two.record(lambda parity: parity.assert_loss(nan), lambda parity: parity.assert_loss(nan))
    done = two.compare()
    assert done.status == 1
    assert "different: loss/loss has no finite element (of 1), here and in the reference" in done.out


@pytest.mark.parametrize("shared", ["reference", "candidate"])
def test_what_only_one_of_them_stores_once_is_two_tensors(two: Two, shared: str):
    def twins(one: float, other: float):
        def body(parity):
            model = nn.ModuleDict({"a": nn.Linear(2, 2, bias=False), "b": nn.Linear(2, 2, bias=False)})
            for module, value in zip(model.values(), (one, other), strict=True):
                nn.init.constant_(module.weight, value)
            with parity.watch(model, kinds=["weight"]):
                model["b"](model["a"](torch.ones(1, 2)))

        return body

    bodies = [twins(1.0, 1.0), twins(1.0, 2.0)]
    two.record(*(bodies if shared == "reference" else bodies[::-1]))
    done = two.compare("--json")
    assert done.status == 1
    assert json.loads(done.out)["comparison"]["counts"] == {"equal": 1, "differs": 1}
