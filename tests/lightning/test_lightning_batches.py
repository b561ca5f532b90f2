"""What a training step gets and gives: batches of any make, the golden's in their place, outputs."""

from __future__ import annotations

import dataclasses
import functools
from collections import UserDict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from tiny_fit import CASE, Tiny, golden, info, loader, sites, tensor
from torch.utils.data import DataLoader

from pytest_parity import ParityFailure, UsageError


class Named(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Data:
    x: Any
    y: Any
    source: str = "own"


class Table(UserDict):
    """As the batches of some tokenizers are."""


MAKES: dict[str, Callable[[Any, Any], Any]] = {
    "dict": lambda x, y: {"x": x, "y": y},
    "tuple": lambda x, y: (x, y),
    "namedtuple": Named,
    "dataclass": Data,
    "mapping": lambda x, y: Table(x=x, y=y),
    "nested": lambda x, y: {"inputs": [Named(x, y)], "length": len(x)},
}


def taken(batch: Any) -> tuple[Any, Any]:
    """What of a batch is trained on."""
    if isinstance(batch, (tuple, list)):
        return tuple(batch)  # type: ignore[return-value]
    if isinstance(batch, dict) and "inputs" in batch:
        return taken(batch["inputs"][0])
    return (batch.x, batch.y) if isinstance(batch, Data) else (batch["x"], batch["y"])


def batched(make: Callable[[Any, Any], Any], *, moved: float = 0.0, count: int = 6) -> DataLoader[Any]:
    def collate(rows: list[Any]) -> Any:
        x, y = (torch.stack(one) for one in zip(*rows, strict=True))
        return make(x + moved, y)

    return loader(count, collate_fn=collate)


def learner(tiny: Tiny, kinds: list[type] | None = None) -> type:
    class Learner(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if kinds is not None:
                kinds.append(type(batch))
            return super().training_step(taken(batch), batch_idx)

    return Learner


@pytest.mark.parametrize("make", MAKES)
def test_the_goldens_batches_come_in_the_scripts_own_classes(tiny: Tiny, make: str) -> None:
    tiny.record(learner(tiny), batched(MAKES[make]))
    kinds: list[type] = []
    found = tiny.check(learner(tiny, kinds), batched(MAKES[make], moved=1.0), batches="recorded").comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}
    assert set(kinds) == {type(MAKES[make](torch.zeros(1), torch.zeros(1)))}


def test_plain_values_of_the_golden_come_with_its_tensors(tiny: Tiny) -> None:
    tiny.record(learner(tiny), batched(functools.partial(Data, source="golden")), first=1)
    seen: list[Any] = []

    class Keeping(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append(batch)
            return super().training_step(taken(batch), batch_idx)

    tiny.check(Keeping, batched(Data, moved=1.0), batches="recorded")
    assert [one.source for one in seen] == ["golden", *["own"] * 5]
    assert torch.equal(seen[0].x, tensor("batch/loader/x"))


def test_what_the_golden_has_not_stays_the_scripts_own(tiny: Tiny) -> None:
    tiny.record(learner(tiny), batched(MAKES["dict"]))
    more = batched(lambda x, y: {"x": x, "weight": torch.ones(2), "y": y}, moved=1.0)
    found = tiny.check(learner(tiny), more, batches="recorded").comparison
    assert found is not None
    assert found.passed


def test_a_loader_that_stands_in_for_the_data_gets_the_goldens_batches_whole(tiny: Tiny) -> None:
    tiny.record(learner(tiny), batched(MAKES["nested"]))
    found = tiny.check(
        learner(tiny), DataLoader(range(3), collate_fn=lambda rows: rows[0]), batches="recorded"
    ).comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}


def test_a_batch_of_other_names_cannot_be_replaced(tiny: Tiny) -> None:
    tiny.record(learner(tiny), batched(MAKES["dict"]))
    with pytest.raises(UsageError) as caught:
        tiny.check(learner(tiny), batched(MAKES["tuple"]), batches="recorded")
    assert str(caught.value) == (
        "the batch of step 0 of nest/tiny: the golden's has x, y, and this script's 0, 1, so that the one cannot take the "
        "other's place; give the loader's batches the same keys, or leave batches='recorded' out to have the script's own "
        "compared"
    )


@pytest.mark.parametrize("make", MAKES)
def test_own_batches_that_differ_are_said_to_be_the_datas(tiny: Tiny, make: str) -> None:
    tiny.record(learner(tiny), batched(MAKES[make]))
    with pytest.raises(
        ParityFailure, match=r"^nest/tiny: the data differs from step 0 on: (inputs\.0\.)?(tensor 0|x) differs"
    ):
        tiny.check(learner(tiny), batched(MAKES[make], moved=1.0))


# what a training step gives


def test_a_table_with_the_loss_has_outputs_besides(tiny: Tiny) -> None:
    class Telling(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return {"loss": loss, "twice": [2 * loss.detach(), 3], "name": "tiny", "object": object(), "none": {}}

    tiny.record(Telling)
    assert sites("loss") == ["loss/loss"]
    assert sites("output") == ["output/outputs/out.twice.0", "output/outputs/out.twice.1"]
    found = tiny.check(Telling).comparison
    assert found is not None
    assert found.passed

    class Other(Telling):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            told = super().training_step(batch, batch_idx)
            return told | {"twice": [3 * told["loss"].detach(), 3]}

    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: the output outputs"):
        tiny.check(Other)


def test_a_step_that_returns_none_has_no_loss(tiny: Tiny) -> None:
    class Passing(tiny.module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx == 1 else loss

    tiny.record(Passing)
    assert sites("loss", 1) == sites("gradient", 1) == []
    found = tiny.check(Passing).comparison
    assert found is not None
    assert found.passed
    with pytest.raises(ParityFailure):
        tiny.check()


def test_a_decorated_step_is_called_as_it_is_without_us(tiny: Tiny) -> None:
    def timed(step: Any) -> Any:
        @functools.wraps(step)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            return step(*args, **kwargs)

        return training_step

    class Decorated(tiny.module):
        @timed
        def training_step(self, batch: Any) -> Any:  # without the batch's number
            return tiny.module.training_step(self, batch, 0)

    tiny.record(Decorated)
    found = tiny.check(Decorated).comparison
    assert found is not None
    assert found.passed


def test_a_step_that_is_called_by_keyword_begins_as_well(tiny: Tiny) -> None:
    class ByName(tiny.pl.strategies.SingleDeviceStrategy):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.lightning_module.training_step(batch=batch, batch_idx=batch_idx)

    tiny.record(strategy=ByName(device="cpu"), accelerator="auto")
    assert golden().steps == (0, 1, 2)
    found = tiny.check().comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}


def test_a_step_of_the_instances_own_is_put_back(tiny: Tiny) -> None:
    made = tiny.module()
    made.training_step = own = functools.wraps(made.training_step)(
        lambda batch, index: tiny.module.training_step(made, batch, index)
    )
    tiny.record(lambda: made)
    assert vars(made)["training_step"] is own


# a step that draws for itself


def drawing(tiny: Tiny, draws: int = 1) -> type:
    class Drawing(tiny.module):
        def training_step(self, dataloader_iter: Any) -> Any:
            batches = [next(dataloader_iter)[0] for _ in range(draws)]
            assert dataloader_iter.fetched > 0
            return sum(tiny.module.training_step(self, batch, 0) for batch in batches)

    return Drawing


def test_a_dataloader_iter_begins_the_step_with_the_batch_that_it_gives(tiny: Tiny) -> None:
    tiny.record(drawing(tiny))
    assert golden().steps == (0, 1, 2)
    assert torch.equal(tensor("batch/loader/0"), next(iter(loader()))[0])
    assert info(0)["optimizer_steps"] == [1]
    found = tiny.check(drawing(tiny)).comparison
    assert found is not None
    assert found.counts == {"equal": found.expected}
    found = tiny.check(drawing(tiny), batched(MAKES["tuple"], moved=1.0), batches="recorded").comparison
    assert found is not None
    assert found.passed
    with pytest.raises(ParityFailure, match=r"^nest/tiny: the data differs from step 0 on: tensor 0 differs"):
        tiny.check(drawing(tiny), batched(MAKES["tuple"], moved=1.0))


def test_a_step_that_draws_several_batches_cannot_have_the_goldens(tiny: Tiny) -> None:
    tiny.record(drawing(tiny, 2))
    found = tiny.check(drawing(tiny, 2)).comparison
    assert found is not None
    assert found.passed
    with pytest.raises(UsageError, match=f"^step 0 of {CASE} draws several batches from its dataloader_iter"):
        tiny.check(drawing(tiny, 2), batches="recorded")
