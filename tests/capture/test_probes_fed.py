"""Which modules are fed probes, with what, and what happens where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_studio import Studio, single
from probe_models import Block, Clamped, WrittenNorm, body
from torch import nn

from pytest_parity.capture.probes import PROBES, probe_inputs
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import UsageError
from pytest_parity.report.sentence import PROBES as WORDS
from pytest_parity.result import Recorded
from pytest_parity.session.goldens import compare_goldens
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions, Mode
from pytest_parity.site import Kind

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
NAMES = set(PROBES)


def probed(studio: Studio, step: int = 0) -> dict[str, set[str]]:
    """The probes of each module call."""
    found: dict[str, set[str]] = {}
    for site in studio.sites(Kind.PROBE, step):
        call, _, leaf = site.removeprefix("probe/").partition("/")
        found.setdefault(call, set()).add(leaf)
    return found


def notes(studio: Studio, run: Callable[[Parity], Any], **options: Any) -> str:
    """What recording says."""
    parity = Parity(studio.settings(Mode.RECORD, probe=True, **options))
    run(parity)
    recorded = parity.finish()
    assert isinstance(recorded, Recorded)
    return "\n".join(recorded.notes)


def test_every_module_without_children_is_fed_at_its_first_call_of_the_first_step(studio: Studio) -> None:
    class Twice(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(super().forward(x))

    studio.record(body(Twice), probe=True)
    assert probed(studio) == {f"{name}#0": NAMES for name in ("norm", "up", "act", "down", "drop")}
    assert not probed(studio, step=1)


def test_each_probe_of_a_check_is_compared_one_to_one(studio: Studio) -> None:
    studio.record(body(Block), probe=True)
    comparison = studio.check(body(Block))
    assert comparison.kinds["probe"] == 5 * len(NAMES)
    assert comparison.compared == comparison.expected


def test_a_recording_without_the_option_has_no_probes(studio: Studio) -> None:
    studio.record(body(Block))
    assert not probed(studio)
    assert "probe" not in studio.golden().manifest["settings"]["kinds"]


def test_the_kind_in_a_watch_asks_for_probes_without_the_option(studio: Studio) -> None:
    kinds = ("weight", "input", "activation", "probe")
    studio.record(body(Block, kinds=kinds))
    assert probed(studio)["norm#0"] == NAMES


def test_a_watch_that_names_other_kinds_still_has_the_goldens_probes_compared(studio: Studio) -> None:
    kinds = ("weight", "input", "activation")
    studio.record(body(Block, kinds=kinds), probe=True)
    assert studio.check(body(Block, kinds=kinds)).kinds["probe"] == 5 * len(NAMES)


def test_probes_without_inputs_are_refused_where_they_are_named_and_said_where_the_option_asks(studio: Studio) -> None:
    with pytest.raises(UsageError, match="kinds has probe, and probes are made of what modules are given: add input"):
        studio.record(body(Block, kinds=("weight", "probe")))
    assert "no probes: they are made of what modules are given, and kinds= leaves input out" in notes(
        studio, body(Block, kinds=("weight", "activation"))
    )


def test_a_check_with_the_option_demands_a_golden_that_has_probes(studio: Studio) -> None:
    studio.record(body(Block))
    with pytest.raises(
        UsageError, match=r"--parity-probe: the golden of case has no probes\. Record it with them: pytest "
    ):
        studio.check(body(Block), probe=True)
    studio.record(body(Block), probe=True)
    assert studio.check(body(Block), probe=True).passed


def test_a_module_with_two_inputs_is_fed_both_and_its_mask_as_it_came(studio: Studio) -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, *, other: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return (x + other).masked_fill(mask.logical_not_(), 0.0)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leaf = Masked()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.leaf(x, other=2 * x, mask=x > 0)

    studio.record(single(Model(), X.clone().requires_grad_()), probe=True)
    given = {"in.0": X, "in.1": 2 * X}
    for name in NAMES:
        made = probe_inputs(name, given)
        assert torch.equal(
            studio.tensor(f"probe/leaf#0/{name}"), (made["in.0"] + made["in.1"]).masked_fill(X <= 0, 0.0)
        )
    assert studio.check(single(Model(), X.clone().requires_grad_())).passed


def test_ids_masks_and_counts_in_floating_point_stay_as_they_came() -> None:
    given = {
        "in.0": X,
        "in.1": torch.tensor([1.0, 0.0]),
        "in.2": torch.tensor([0.0, -torch.inf]),
        "in.3": torch.arange(3),
    }
    for name in NAMES:
        made = probe_inputs(name, given)
        assert not torch.equal(made["in.0"], X)
        assert all(torch.equal(made[leaf], given[leaf]) and made[leaf] is not given[leaf] for leaf in list(given)[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_probes_feed_is_finite_in_every_dtype_and_any_row_has_the_whole_range(dtype: torch.dtype) -> None:
    for name in NAMES:
        made = probe_inputs(name, {"in.0": torch.randn(300, 32, dtype=torch.float64).to(dtype)})["in.0"]
        assert made.dtype is dtype
        assert bool(torch.isfinite(made).all())
        if name == "wide":
            assert bool((made.amax(-1) - made.amin(-1) > 10).all())


def test_a_dropout_draws_the_same_for_its_probes_on_both_sides(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    for policy in ("keyed", "global", "off"):
        torch.manual_seed(4)
        marker = MarkerOptions(rng=policy)
        studio.record(single(model, X), marker, probe=True)
        dropped = studio.tensor("probe/1#0/wide")
        assert 0 < int((dropped == 0).sum()) < dropped.numel()
        torch.manual_seed(4)
        assert studio.check(single(model, X), marker).counts.keys() == {"equal"}


class Renamed(nn.Module):
    """``Block`` by other names, its normalization of two modules."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.ln = Norm(eps)
        self.fc1, self.gelu, self.fc2, self.drop = nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16), nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc2(self.gelu(self.fc1(self.ln(x)))))


class Norm(WrittenNorm):
    def __init__(self, eps: float) -> None:
        super().__init__(16, eps)
        self.scale = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale(super().forward(x))


NAMED = MarkerOptions(names={"ln": "norm", "fc1": "up", "gelu": "act", "fc2": "down"})


def test_names_lead_to_the_candidates_module_and_that_may_have_children(studio: Studio) -> None:
    studio.record(body(Block, dtype=torch.bfloat16), probe=True, draws=2)
    passed = studio.check(body(Renamed, dtype=torch.bfloat16), NAMED)
    assert passed.kinds["probe"] == 5 * len(NAMES)
    failure = studio.failure(body(partial(Renamed, 1e-6), dtype=torch.bfloat16), marker=NAMED)
    assert str(failure).startswith(
        "case step 0: ln differs where ordinary data does not show it: when it is fed its inputs times 1e-4 (reference: norm)"
    )


def test_what_a_probe_raises_or_overflows_in_the_reference_is_left_out_and_said(studio: Studio) -> None:
    class Picky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not bool(x.any()):
                raise ValueError("nothing but zeros")
            return x.exp()

    model = nn.Sequential(nn.Linear(8, 8), Picky())
    said = notes(studio, single(model, 4 * X))
    assert probed(studio)["1#0"] == NAMES - {"zero", "extreme", "large"}
    assert "probes left out, for they raise ValueError: 1 (zero)" in said
    assert "probes left out, for their outputs are not finite: 1 (large), 1 (extreme)" in said
    assert studio.check(single(model, 4 * X)).passed


def test_what_hangs_on_the_last_place_of_its_inputs_is_left_out_and_said(studio: Studio) -> None:
    class Wave(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x * 1e8)

    said = notes(studio, single(nn.Sequential(nn.Linear(8, 8), Wave()), X))
    assert (
        "for their outputs hang on the last place of the inputs: 1 (tiny), 1 (large), 1 (extreme), 1 (wide) and 1 more"
        in said
    )
    assert "extreme" not in probed(studio)["1#0"]
    assert "zero" in probed(studio)["1#0"]


def test_a_candidate_that_raises_where_the_reference_does_not_fails_with_its_error(studio: Studio) -> None:
    class Careful(nn.GELU):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if float(x.detach().abs().max()) > 1e3:
                raise ValueError("far too large")
            return super().forward(x)

    studio.record(body(Block), probe=True)
    failure = studio.failure(body(partial(Block, act=Careful)))
    assert str(failure).startswith(
        "case step 0: act returns nothing to compare when it is fed numbers of either sign around 1e4, as the reference does"
    )
    assert "act raises ValueError when it is fed the probe extreme: far too large" in str(failure)


def test_a_candidate_that_is_handed_another_shape_fails_and_says_so(studio: Studio) -> None:
    class Flat(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.norm(x).flatten(0, 1)
            return self.drop(self.down(self.act(self.up(h).view(8, 8, 32))))

    studio.record(body(Block), probe=True)
    assert "up could not be fed probes: in.0 has shape (64, 16) here, (8, 8, 16) in the reference" in str(
        studio.failure(body(Flat))
    )


def test_inputs_that_are_whole_numbers_leave_a_module_without_probes_and_that_is_said(studio: Studio) -> None:
    said = notes(studio, single(nn.Sequential(nn.Linear(8, 8)), torch.ones(2, 8)))
    assert "no probes: no module without children was called with a floating input that is no mask" in said
    assert "probes left out, for their inputs are whole numbers, which may be a mask or counts: 0" in said


def test_a_replayed_module_is_forgiven_its_probes(studio: Studio) -> None:
    replayed = MarkerOptions(replay=("act",))
    studio.record(body(Block), replayed, probe=True)
    other = studio.check(body(partial(Block, act=Clamped)), replayed)
    assert other.counts["replayed"] == 1
    assert "replayed, and the candidate's own output is another: probe/act#0/extreme in step 0" in other.notes


def test_ignoring_the_kind_leaves_the_probes_out_of_a_check(studio: Studio) -> None:
    studio.record(body(Block), probe=True)
    clamped = body(partial(Block, act=nn.ReLU))
    assert any(delta.site.startswith("probe/") for delta in studio.failure(clamped).comparison.failures)  # type: ignore[union-attr]
    ignored = studio.failure(clamped, marker=MarkerOptions(ignore=("probe",))).comparison
    assert ignored is not None
    assert not any(delta.site.startswith("probe/") for delta in ignored.failures)


def test_the_sentence_has_words_for_every_probe() -> None:
    assert WORDS.keys() == PROBES.keys()


def test_padded_positions_of_probes_are_not_compared(studio: Studio) -> None:
    class Padded(nn.Module):
        def __init__(self, fill: float) -> None:
            super().__init__()
            self.last, self.leaf = nn.Linear(8, 8), Filled(fill)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.leaf(self.last(x))

    class Filled(nn.Module):
        def __init__(self, fill: float) -> None:
            super().__init__()
            self.fill = fill

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x[:, :5], torch.full_like(x[:, 5:], self.fill)], dim=1)

    def padded(fill: float, **watch: Any) -> Callable[[Parity], None]:
        def run(parity: Parity) -> None:
            torch.manual_seed(0)
            with parity.watch(model := Padded(fill), kinds=("input", "activation", "probe"), **watch):
                model(parity.input("x", X.clone))

        return run

    studio.record(padded(1.0))
    assert "probe/leaf#0/zero" in str(studio.failure(padded(2.0)))
    valid = {"*": Valid(dim=1, lengths=[5] * 6)}
    studio.record(padded(1.0, valid=valid))
    assert studio.check(padded(2.0, valid=valid)).kinds["probe"] == 2 * len(NAMES)


def test_of_two_recordings_one_without_probes_the_rest_is_compared_and_that_is_said(tmp_path: Path) -> None:
    plain, probed_too = Studio(tmp_path / "plain"), Studio(tmp_path / "probed")
    one, other = plain.record(body(Block)), probed_too.record(body(Block), probe=True)
    for reference, candidate, which in ((one, other, "candidate"), (other, one, "reference")):
        found = compare_goldens(reference, candidate)
        assert found.passed
        assert f"only the {which} was recorded with probes (--parity-probe): they are not compared" in found.notes
    assert compare_goldens(other, probed_too.golden()).kinds["probe"] == 5 * len(NAMES)


def test_a_check_makes_its_probes_of_the_goldens_inputs_and_not_of_its_own(studio: Studio) -> None:
    studio.record(body(Block), probe=True, draws=2)
    exactly = {"tolerances": {"probe/up*": (0.0, 0.0)}}
    found = studio.check(
        body(partial(Block, WrittenNorm)), **exactly
    )  # what goes into up is not the golden's to the bit
    assert found.passed
    assert found.counts["close"]
