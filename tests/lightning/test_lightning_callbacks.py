"""``ParityRecord`` and ``ParityCheck`` in a trainer, on the common road: one optimizer, one loss, one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_fit import CASE, Tiny, content, first_line, golden, weights

from pytest_parity import ParityFailure
from pytest_parity.lightning import ParityCheck, ParityRecord


def failing(tiny: Tiny, **faults: float) -> ParityFailure:
    with pytest.raises(ParityFailure) as caught:
        tiny.check(lambda: tiny.module(**faults))
    return caught.value


def test_a_training_recorded_twice_is_the_same_bytes(tiny: Tiny) -> None:
    recorded = tiny.record().recorded
    assert recorded is not None
    assert recorded.steps == (0, 1, 2)
    first = content()
    tiny.record()
    assert content() == first


def test_a_golden_of_one_package_is_that_of_the_other() -> None:
    Tiny("pytorch_lightning").record()
    first = content()
    Tiny("lightning.pytorch").record()
    assert content() == first


def test_a_check_of_the_same_training_compares_everything_bit_for_bit(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = tiny.record().recorded
    assert recorded is not None
    capsys.readouterr()
    found = tiny.check().comparison
    assert found is not None
    assert found.passed
    assert found.counts == {"equal": found.expected}
    assert found.compared == found.expected == recorded.sites
    assert not [
        note for note in found.notes if "updates are judged" in note
    ]  # each is stepped from the reference's start
    said = capsys.readouterr().err.splitlines()
    assert (
        said[0] == f"{CASE}: {found.expected} of {found.expected} sites compared in steps 0-2: {found.expected} equal"
    )
    assert said[1].startswith("  parameters 6 of 6, module calls 21 of 21")


def test_every_kind_is_recorded(tiny: Tiny) -> None:
    tiny.record()
    kinds = {entry.site.kind.value for entry in golden().entries(1)}
    assert kinds == {"batch", "weight", "input", "activation", "loss", "gradient", "optimizer", "updated_weight"}
    assert golden().manifest["steps"]["0"]["optimizer_steps"] == [1]


def test_a_number_changed_in_a_module_names_the_module(tiny: Tiny) -> None:
    tiny.record()
    failure = failing(tiny, eps=1e-3)
    assert first_line(failure) == (
        f"{CASE} step 0: net.1 is the first module whose output differs while its inputs agree"
    )
    assert "eps of net.1: 0.001 here, 1e-05 in the golden" in str(failure)


def test_a_doubled_loss_is_named(tiny: Tiny) -> None:
    tiny.record()
    assert first_line(failing(tiny, scale=2.0)) == (
        f"{CASE} step 0: the loss is the first site that differs, while every module call agrees"
    )


def test_a_weight_decay_left_out_names_the_optimizer(tiny: Tiny) -> None:
    tiny.record()
    lines = str(failing(tiny, decay=0.0)).splitlines()
    assert lines[0] == (
        f"{CASE} step 0: AdamW: its update of net.0.weight is the first that differs, while the weights, gradients and "
        "optimizer state that it starts from agree"
    )
    assert lines[1] == "  weight_decay is 0.0, the golden's run had 0.01"


def test_the_training_goes_on_to_its_end_before_the_failure(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.record()
    ended: list[int] = []

    class Last(tiny.pl.Callback):
        def on_train_end(self, trainer, pl_module) -> None:
            ended.append(trainer.global_step)
            assert "net.1 is the first module whose output differs" in capsys.readouterr().err  # said when it is known

        def on_fit_end(self, trainer, pl_module) -> None:
            ended.append(-1)

    with pytest.raises(ParityFailure):
        tiny.fit([ParityCheck(CASE), Last()], lambda: tiny.module(eps=1e-3))
    assert ended == [6, -1]


def test_raises_false_leaves_the_comparison_to_the_script(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.record()
    found = tiny.check(lambda: tiny.module(eps=1e-3), raises=False).comparison
    assert found is not None
    assert not found.passed
    assert found.diagnosis is not None
    assert found.diagnosis.site == "activation/net.1#0"
    assert f"{CASE} step 0: net.1 is the first module" in capsys.readouterr().err


def test_the_bits_of_a_training_are_those_without_the_callback(tiny: Tiny) -> None:
    plain = weights(tiny.fit())
    recorded = weights(tiny.fit(ParityRecord(CASE)))
    checked = weights(tiny.fit(ParityCheck(CASE)))
    for name, value in plain.items():
        assert torch.equal(recorded[name], value)
        assert torch.equal(checked[name], value)


def test_keyed_streams_agree_between_modules_that_draw_in_another_order(tiny: Tiny) -> None:
    class Two(tiny.module):
        turned = False

        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = torch.nn.Dropout(0.5), torch.nn.Dropout(0.5)

        def forward(self, x):
            if self.turned:
                right = self.right(x)
                return self.net(self.left(x) + right)
            left = self.left(x)
            return self.net(left + self.right(x))

    class Turned(Two):
        turned = True

    tiny.record(Two, rng="keyed")
    found = tiny.check(Turned).comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}
    tiny.record(Two, rng="off")
    with pytest.raises(ParityFailure, match=r"step 0: (left|right) is the first module"):
        tiny.check(Turned)


def test_keyed_streams_have_a_seed(tiny: Tiny) -> None:
    tiny.record(rng="keyed", seed=1)
    first = content()
    tiny.record(rng="keyed", seed=1)
    assert content() == first
    tiny.record(rng="keyed", seed=2)
    assert content() != first
    assert tiny.check(seed=3, weights=True).comparison is not None  # the check draws as the golden's run did


def test_weights_are_the_references_where_asked_for(tiny: Tiny) -> None:
    tiny.record(rng="keyed")
    found = tiny.check(seed=7, weights=True).comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}
    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: the weight net\.0\.weight differs before"):
        tiny.check(seed=7)


def test_weights_come_through_a_name_map(tiny: Tiny) -> None:
    class Renamed(tiny.module):
        def __init__(self, **faults) -> None:
            super().__init__(**faults)
            self.layers = self.net
            del self.net

        def forward(self, x):
            return self.layers(x)

    tiny.record(rng="keyed")
    names = {"layers": "net"}
    found = tiny.check(Renamed, seed=7, weights=True, names=names).comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}
    Path("names.toml").write_text('[names]\nlayers = "net"\n', encoding="utf-8")
    assert tiny.check(Renamed, seed=7, weights=True, names="names.toml").comparison is not None
    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: layers\.1 .*is the first module"):
        tiny.check(lambda: Renamed(eps=1e-3), seed=7, weights=True, names=names)


def test_kinds_are_what_is_kept_and_compared(tiny: Tiny) -> None:
    tiny.record(kinds=["loss", "gradient"])
    assert {entry.site.kind.value for entry in golden().entries(0)} == {"batch", "loss", "gradient"}
    assert tiny.check(lambda: tiny.module(decay=0.0), steps=[0]).comparison is not None  # an update, which is not kept
    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: the loss is the first site that differs"):
        tiny.check(lambda: tiny.module(eps=1e-3))


def test_tolerances_and_what_is_ignored_are_the_scripts(tiny: Tiny) -> None:
    tiny.record()
    faulty = {"model": lambda: tiny.module(eps=1e-4), "steps": [0]}
    with pytest.raises(ParityFailure):
        tiny.check(**faulty)
    found = tiny.check(**faulty, rtol=1e-2, atol=1e-3).comparison
    assert found is not None
    assert found.passed
    found = tiny.check(**faulty, ignore=["net", "(model)", "loss/*"]).comparison
    assert found is not None
    assert found.passed
