"""What was not as in the golden's run stands beside a failure, and drift is told from regression: real recordings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from parity_studio import Body, Studio
from torch import nn

from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind

EXACTLY = {"*": (0.0, 0.0)}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(16, 16, 5, padding=2) for _ in range(4))
        self.norm, self.drop, self.head = nn.LayerNorm(16), nn.Dropout(0.0), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = x + torch.tanh(conv(x))
        return self.head(self.drop(self.norm(x.transpose(1, 2))))


def training(edit: Callable[[Net], object] | None = None, *, exactly: bool = False, **settings: Any) -> Body:
    """A step of AdamW; ``edit`` changes the model, ``settings`` the optimizer."""

    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(Net())
        if edit is not None:
            edit(model)
        optimizer = torch.optim.AdamW(model.parameters(), **{"lr": 1e-3, **settings})
        x = parity.input("x", lambda: torch.randn(4, 16, 30))
        with parity.watch(model, optimizer=optimizer, tolerances=EXACTLY if exactly else None):
            model(x).square().mean().backward()
            optimizer.step()

    return body


def scaled(path: str, factor: float) -> Callable[[Net], object]:
    return lambda net: net.get_submodule(path).register_forward_hook(lambda _m, _a, out: out * factor)


@pytest.fixture
def recorded(studio: Studio) -> Studio:
    studio.record(training())
    return studio


@pytest.fixture
def other_convolutions(recorded: Studio) -> Iterator[Studio]:
    """oneDNN off: another algorithm, that adds in another order."""
    torch.backends.mkldnn.set_flags(_enabled=False)
    yield recorded
    torch.backends.mkldnn.set_flags(_enabled=True)


def last_lines(studio: Studio, body: Body, **options: Any) -> str:
    return str(studio.failure(body, **options)).split("\n\n")[-1]


def test_another_environment_looks_like_drift(other_convolutions: Studio):
    text = last_lines(other_convolutions, training(exactly=True))
    assert re.search(
        r"this looks like drift: 14 of 16 sites moved a little, none by much more than those before it \(by [\d.e-]+ to "
        r"[\d.e-]+ of its norm\), and the environment is not the golden's\n",
        text,
    )
    assert text.endswith("the environment is not the golden's:\n  oneDNN: off here, on in the golden")


def test_within_tolerance_it_fails_nothing(other_convolutions: Studio):
    comparison = other_convolutions.check(training())
    assert comparison.environment == {"oneDNN": ("on", "off")}
    assert comparison.character is None


@pytest.mark.parametrize("exactly", [False, True])
def test_a_faulty_module_looks_like_a_regression_there_too(other_convolutions: Studio, exactly: bool):
    text = last_lines(other_convolutions, training(scaled("convs.2", 1.01), exactly=exactly))
    assert "this looks like a regression: sites before convs.2 " in text
    assert "and it moves by 0.01 of its norm, which is more than the environment here explains" in text


def test_a_faulty_module_in_the_same_environment_is_a_regression(recorded: Studio):
    text = last_lines(recorded, training(scaled("convs.2", 1.01)))
    assert "sites before convs.2 agree, and it moves by 0.01 of its norm, and the environment is the golden's" in text
    assert "drift" not in text


def test_what_both_would_look_like_is_not_told(other_convolutions: Studio, recorded: Studio):
    text = last_lines(other_convolutions, training(scaled("convs.0", 1.0001), exactly=True))
    assert "this looks like" not in text
    assert "oneDNN" in text


def test_the_constants_of_the_culprit_come_first(recorded: Studio):
    def edit(net: Net) -> None:
        net.drop.p, net.norm.eps = 0.5, 1e-3
        net.eval()

    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    text = last_lines(recorded, training(edit))
    torch.set_num_threads(threads)
    assert text.endswith(
        "not as in the golden's run, the likeliest explanation first:\n"
        "  eps of norm: 0.001 here, 1e-05 in the golden\n"
        "  training of norm, (model), convs and 6 more: False here, True in the golden\n"
        f"  threads: {threads + 1} here, {threads} in the golden\n"
        "  p of drop: 0.5 here, 0.0 in the golden"
    )


def test_a_constant_that_differs_fails_nothing(recorded: Studio):
    comparison = recorded.check(training(lambda net: setattr(net.head, "in_features", 15)))
    (difference,) = comparison.differences
    assert (difference.where, difference.name, difference.golden, difference.here, difference.likely) == (
        "head",
        "in_features",
        "16",
        "15",
        False,
    )


def test_a_golden_that_tells_no_constants_has_none_that_differ(studio: Studio, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as older:
        older.setattr("pytest_parity.contract.structure.constants", lambda _module: {})
        studio.record(training())
    assert studio.check(training(lambda net: setattr(net.head, "in_features", 15))).differences == ()


def test_the_optimizers_settings_are_listed_where_something_else_fails(recorded: Studio):
    text = last_lines(recorded, training(scaled("head", 1.01), lr=1e-2, foreach=True))
    assert "  foreach of AdamW: True here, None in the golden\n  lr of AdamW: 0.01 here, 0.001 in the golden" in text


def test_where_the_update_differs_they_stand_beside_it_once(recorded: Studio):
    text = str(recorded.failure(training(lr=1e-2)))
    assert text.count("lr is 0.01, the golden's run had 0.001") == 1
    assert "lr of AdamW" not in text


def test_another_optimizer_is_named_before_its_settings(recorded: Studio):
    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(Net())
        optimizer = torch.optim.NAdam(model.parameters(), lr=1e-3)
        x = parity.input("x", lambda: torch.randn(4, 16, 30))
        with parity.watch(model, optimizer=optimizer):
            model(x).square().mean().backward()
            optimizer.step()

    lines = str(recorded.failure(body)).splitlines()
    assert lines[1] == "  optimizer is NAdam, the golden's run had AdamW"
    assert not any(line.startswith("  optimizer: ") for line in lines)  # once is enough


def test_the_settings_of_each_step_count(studio: Studio):
    def body(rates: list[float]) -> Body:
        def run(parity: Parity) -> None:
            torch.manual_seed(0)
            model = parity.load(nn.Linear(2, 2))
            optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
            with parity.watch(model, optimizer=optimizer) as watch:
                for rate, batch in zip(rates, watch.steps([torch.ones(2)] * 2, limit=2), strict=False):
                    optimizer.param_groups[0]["lr"] = rate
                    optimizer.zero_grad()
                    model(batch).sum().backward()
                    optimizer.step()

        return run

    studio.record(body([0.1, 0.2]))
    differences = studio.failure(body([0.1, 0.3])).comparison.differences
    assert [(one.name, one.golden, one.here, one.likely) for one in differences] == [
        ("lr in step 1", "0.2", "0.3", True)
    ]


def test_autocast_is_read_while_the_model_runs(studio: Studio):
    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(nn.Linear(4, 4))
        x = parity.input("x", lambda: torch.randn(3, 4))
        with parity.watch(model, kinds=["weight", "activation"]), torch.autocast("cpu", torch.bfloat16):
            model(x)

    environment = studio.record(body).manifest["provenance"]["environment"]
    assert environment["autocast"] == "bfloat16"
    assert studio.check(body).environment == {}


def looped(workers: int) -> Body:
    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(nn.Linear(2, 2))
        loader = torch.utils.data.DataLoader([torch.ones(2)] * 2, num_workers=workers)
        with parity.watch(model) as run:
            for batch in run.steps(loader):
                parity.assert_outputs(model(batch))

    return body


def test_the_loaders_workers_and_the_seed_are_in_the_golden(studio: Studio):
    environment = studio.record(looped(0), seed=3).manifest["provenance"]["environment"]
    assert (environment["dataloader workers"], environment["seed"]) == ("0", "3")
    assert studio.check(looped(1), seed=3).environment == {"dataloader workers": ("0", "1")}
    assert studio.check(looped(0), seed=4).environment == {"seed": ("3", "4")}


def test_where_nothing_is_drawn_the_seed_is_not_told(studio: Studio):
    golden = studio.record(looped(0), MarkerOptions(rng="off"))
    assert "seed" not in golden.manifest["provenance"]["environment"]


def test_configurations_are_compared_where_both_are_known(studio: Studio):
    studio.record(training(), config={"model": {"width": 16, "p": 0.0}})
    assert studio.check(training()).differences == ()
    text = last_lines(studio, training(scaled("head", 1.1)), config={"model": {"width": 16, "p": 0.1}})
    assert "  model.p in the configuration: 0.1 here, 0.0 in the golden" in text


def test_the_golden_has_no_configuration_that_was_not_given(recorded: Studio):
    settings = recorded.golden().manifest["settings"]
    assert {"config", "profile"}.isdisjoint(settings)
    assert recorded.check(training(), config={"model": 1}).differences == ()


def half(parity: Parity) -> None:
    torch.manual_seed(0)
    model = parity.load(nn.Linear(4, 4).to(torch.bfloat16 if not parity.recording else torch.float32))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x = parity.input("x", lambda: torch.randn(3, 4))
    with parity.watch(model, optimizer=optimizer):
        model(x.to(model.weight.dtype)).square().mean().backward()
        optimizer.step()


def test_another_dtype_is_compared_where_it_is_allowed(studio: Studio):
    studio.record(half)
    assert "bfloat16 here, float32 in the reference" in str(studio.failure(half))
    loose = {"*": (0.1, 0.1)}
    for allowed in ({"allow_dtype": True}, {"marker": MarkerOptions(allow_dtype=True)}):
        comparison = studio.check(half, tolerances=loose, **allowed)
        assert comparison.compared == comparison.expected
        assert comparison.kinds[Kind.UPDATED_WEIGHT.value] == 2
    studio.failure(half, tolerances={"*": (0.0, 0.0)}, allow_dtype=True)
    studio.failure(half, allow_dtype=True, marker=MarkerOptions(allow_dtype=False))
