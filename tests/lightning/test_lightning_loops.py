"""What a trainer's loop can be: steps chosen, accumulated, clipped, by hand, by several optimizers, over epochs, resumed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_fit import CASE, Tiny, content, golden, info, lightnings_own_warnings_aside, loader, sites, tensor
from torch import nn
from torch.utils.data import IterableDataset

from pytest_parity import ParityFailure
from pytest_parity.lightning import ParityCheck, ParityRecord


def agreed(found: Any) -> None:
    assert found is not None
    assert found.counts == {"equal": found.expected}


# which steps


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({}, [0, 1, 2]),
        ({"steps": [4, 1]}, [1, 4]),
        ({"steps": range(2)}, [0, 1]),
        ({"first": 2}, [0, 1]),
        ({"every": 3}, [0, 3, 6, 9]),
        ({"every": 4, "first": 9}, [0, 4, 8]),
    ],
    ids=str,
)
def test_steps_by_list_every_n_and_first_n(tiny: Tiny, chosen: dict[str, Any], kept: list[int]) -> None:
    recorded = tiny.record(max_epochs=2, **chosen).recorded
    assert recorded is not None
    assert list(recorded.steps) == list(golden().steps) == kept
    agreed(tiny.check(max_epochs=2).comparison)


def test_a_check_chooses_of_the_goldens_steps(tiny: Tiny) -> None:
    tiny.record(steps=[0, 1, 2, 4])
    for chosen, steps in (({"first": 2}, (0, 1)), ({"every": 2}, (0, 2, 4)), ({"steps": [4]}, (4,))):
        found = tiny.check(**chosen).comparison
        agreed(found)
        assert found.steps == steps


def test_steps_are_numbered_over_epochs(tiny: Tiny) -> None:
    tiny.record(steps=[5, 6, 7], max_epochs=2)
    assert torch.equal(tensor("batch/loader/0", 6), next(iter(loader()))[0])  # the first of the second epoch
    agreed(tiny.check(max_epochs=2).comparison)


def test_limit_train_batches_makes_shorter_epochs(tiny: Tiny) -> None:
    tiny.record(steps=[1, 2], max_epochs=2, limit_train_batches=2)
    assert torch.equal(tensor("batch/loader/0", 2), next(iter(loader()))[0])
    agreed(tiny.check(max_epochs=2, limit_train_batches=2).comparison)


def test_fast_dev_run_is_one_step(tiny: Tiny) -> None:
    recorded = tiny.record(fast_dev_run=True).recorded
    assert recorded is not None
    assert recorded.steps == (0,)


# gradients and updates


def test_accumulation_has_steps_without_updated_weights(tiny: Tiny) -> None:
    tiny.record(accumulate_grad_batches=2, first=4)
    assert [info(step)["optimizer_steps"] for step in range(4)] == [[0], [1], [0], [1]]
    assert [bool(sites("updated_weight", step)) for step in range(4)] == [False, True, False, True]
    assert torch.equal(tensor("weight/net.0.weight", 0), tensor("weight/net.0.weight", 1))
    agreed(tiny.check(accumulate_grad_batches=2).comparison)


def test_accumulation_that_is_another_is_named(tiny: Tiny) -> None:
    tiny.record(accumulate_grad_batches=2)
    with pytest.raises(ParityFailure) as caught:
        tiny.check()
    assert "Trainer.accumulate_grad_batches in the configuration: 1 here, 2 in the golden" in str(caught.value)
    assert "the reference's optimizer took 0 steps in step 0" in str(caught.value)


def test_accumulated_gradients_are_those_of_all_batches_so_far(tiny: Tiny) -> None:
    def model() -> Any:
        return tiny.module(dropout=0.0)

    tiny.record(model, accumulate_grad_batches=2, first=2)
    torch.manual_seed(0)
    made, batches = model(), iter(loader())
    for step in range(2):
        x, y = next(batches)
        ((made(x) - y).square().mean() / 2).backward()
        assert torch.equal(tensor("gradient/net.0.weight", step), made.net[0].weight.grad)


def test_recorded_gradients_are_the_clipped_ones(tiny: Tiny) -> None:
    tiny.record(gradient_clip_val=0.01)
    names = [name.partition("/")[2] for name in sites("gradient")]
    norm = torch.stack([tensor(f"gradient/{name}").norm() for name in names]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)
    agreed(tiny.check(gradient_clip_val=0.01).comparison)
    with pytest.raises(
        ParityFailure, match=r"^nest/tiny step 0: net\.4 is the first module in backward order"
    ) as caught:
        tiny.check(gradient_clip_val=0.02)
    assert "Trainer.gradient_clip_val in the configuration: 0.02 here, 0.01 in the golden" in str(caught.value)


def gan(tiny: Tiny, **faults: float) -> type:
    """Manual optimization by two optimizers, the second with a schedule."""
    fault = {"decay": 0.0, "lr": 0.01} | faults

    class Gan(tiny.pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.critic = nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, _ = batch
            of_generator, of_critic = self.optimizers()
            noise = x[:, :3]
            self.toggle_optimizer(of_generator)
            fooled = -self.critic(self.generator(noise)).mean()
            of_generator.zero_grad()
            self.manual_backward(fooled)
            of_generator.step()
            self.untoggle_optimizer(of_generator)
            told = (self.critic(self.generator(noise).detach()) - self.critic(x)).mean()
            of_critic.zero_grad()
            self.manual_backward(told)
            of_critic.step()
            self.lr_schedulers().step()
            return {"loss": told.detach(), "told": told.detach(), "name": "gan"}

        def configure_optimizers(self) -> Any:
            first = torch.optim.Adam(self.generator.parameters(), lr=0.01)
            second = torch.optim.SGD(
                self.critic.parameters(), lr=fault["lr"], weight_decay=fault["decay"], momentum=0.9
            )
            return [first, second], [torch.optim.lr_scheduler.ExponentialLR(second, 0.9)]

    return Gan


def test_manual_optimization_by_several_optimizers(tiny: Tiny) -> None:
    tiny.record(gan(tiny))
    assert golden().manifest["settings"]["optimizers"] == ["Adam", "SGD"]
    assert info(1)["optimizer_steps"] == [1, 1]
    assert sites("loss") == ["loss/loss", "loss/loss#1"]
    assert sites("output") == ["output/outputs/out.told"]
    assert "optimizer/critic.0.weight/momentum_buffer@opt1" in sites("optimizer", 1)
    agreed(tiny.check(gan(tiny)).comparison)


def test_a_fault_of_the_second_optimizer_names_it(tiny: Tiny) -> None:
    tiny.record(gan(tiny))
    with pytest.raises(ParityFailure) as caught:
        tiny.check(gan(tiny, decay=0.1))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{CASE} step 0: SGD: its update of critic.0.weight is the first that differs")
    assert lines[1] == "  weight_decay is 0.1, the golden's run had 0.0"


def test_a_manual_step_without_manual_backward_gives_the_loss_that_it_returns(tiny: Tiny) -> None:
    class Plain(tiny.module):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

    tiny.record(Plain)
    assert info(0)["loss"] == {"loss": pytest.approx(0.579, abs=1e-3)}
    agreed(tiny.check().comparison)  # by hand or automatic, it is the same training


def test_an_optimizer_that_evaluates_its_closure_again_is_one_step(tiny: Tiny) -> None:
    class Searching(tiny.module):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)

    tiny.record(Searching)
    assert golden().steps == (0, 1, 2)
    assert sites("loss") == ["loss/loss", "loss/loss#1", "loss/loss#2"]
    assert info(0)["optimizer_steps"] == [1]
    agreed(tiny.check(Searching).comparison)
    agreed(tiny.check(Searching, loader(5), batches="recorded").comparison)  # each evaluation is of the golden's batch


def test_the_modules_of_a_compiled_model_are_unobservable_and_its_numbers_are_compared(tiny: Tiny) -> None:
    tiny.record()
    found = tiny.check(lambda: torch.compile(tiny.module(), backend="eager")).comparison
    assert found is not None
    assert found.passed
    assert found.counts == {"equal": 99, "unobservable": 42}
    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: the loss is the first site that differs"):
        tiny.check(lambda: torch.compile(tiny.module(eps=1e-3), backend="eager"))


# mixed precision


def half(tiny: Tiny, scale: float = 2.0**8) -> Any:
    return tiny.pl.plugins.MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale))


def test_under_a_gradient_scaler_gradients_are_unscaled(tiny: Tiny) -> None:
    tiny.record(plugins=half(tiny, 2.0**8))
    small = tensor("gradient/net.4.bias")
    tiny.record(plugins=half(tiny, 2.0**10))
    assert torch.allclose(tensor("gradient/net.4.bias"), small, rtol=1e-2)
    assert info(0)["optimizer_steps"] == [1]
    assert tensor("activation/net.0#0").dtype == torch.float16
    agreed(tiny.check(plugins=half(tiny, 2.0**10)).comparison)


def test_a_step_that_the_scaler_skips_has_no_update_and_the_golden_says_so(tiny: Tiny) -> None:
    tiny.record(plugins=half(tiny, 2.0**120))
    assert info(0)["optimizer_steps"] == [0]
    assert info(0)["updated"] is False
    assert sites("updated_weight") == []
    assert not tensor("gradient/net.4.bias").isfinite().all()
    agreed(tiny.check(plugins=half(tiny, 2.0**120)).comparison)
    with pytest.raises(ParityFailure, match="the reference's optimizer took 0 steps in step 0"):
        tiny.check(plugins=half(tiny))


def test_bf16_mixed(tiny: Tiny) -> None:
    tiny.record(precision="bf16-mixed")
    assert info(0)["optimizer_steps"] == [1]
    agreed(tiny.check(precision="bf16-mixed").comparison)
    with pytest.raises(ParityFailure, match=r"^nest/tiny step 0: net\.0 "):
        tiny.check()


# what is no step


def tensors_of(files: dict[str, bytes]) -> dict[str, bytes]:
    """A manifest says which classes there are, too."""
    return {path: data for path, data in files.items() if not path.endswith(".json")}


class Augmented(torch.utils.data.Dataset):
    """Rows that are drawn from torch's own generator as they are asked for."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> Any:
        return torch.randn(4), torch.full((1,), float(row))


def validated(tiny: Tiny) -> type:
    class Validated(tiny.module):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            torch.rand(3)
            self.training_step(batch=batch, batch_idx=batch_idx)

        def on_train_epoch_end(self) -> None:
            torch.rand(3)

        def val_dataloader(self) -> Any:
            return loader(2)

    return Validated


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
def test_validation_is_no_step_and_leaves_the_data_alone(tiny: Tiny, sized: bool) -> None:
    def data() -> Any:
        return torch.utils.data.DataLoader(Augmented() if sized else Endless(), batch_size=2)

    epochs = {"limit_train_batches": 3, "max_epochs": 2}
    validating = {"val_check_interval": 2, "num_sanity_val_steps": 2}
    tiny.record(validated(tiny), data(), rng="keyed", first=5, **epochs, **validating)
    with_validation = content()
    assert golden().steps == (0, 1, 2, 3, 4)
    assert len(sites("activation", 2)) == 7
    agreed(tiny.check(tiny.module, data(), seed=3, weights=True, **epochs).comparison)
    tiny.record(tiny.module, data(), rng="keyed", first=5, **epochs)
    assert tensors_of(content()) == tensors_of(with_validation)


class Endless(IterableDataset):
    """Rows without end, drawn from torch's own generator as they are asked for."""

    def __iter__(self) -> Any:
        while True:
            yield torch.rand(4), torch.rand(1)


def test_a_loader_without_a_length_draws_each_batch_under_a_seed_of_its_own(tiny: Tiny) -> None:
    tiny.record(data=torch.utils.data.DataLoader(Endless(), batch_size=2), rng="keyed", max_steps=6, first=4)
    drawn = torch.cat([tensor(f"batch/loader/{leaf}", step).flatten() for leaf in range(2) for step in range(4)])
    assert len(drawn.unique()) == len(drawn)


def test_a_finite_loader_without_a_length_is_numbered_over_epochs(tiny: Tiny) -> None:
    class Finite(IterableDataset):
        def __iter__(self) -> Any:
            yield from ((torch.randn(4), torch.randn(1)) for _ in range(6))

    def data() -> Any:
        return torch.utils.data.DataLoader(Finite(), batch_size=2)

    tiny.record(data=data(), rng="keyed", every=1, max_epochs=2)
    assert golden().steps == (0, 1, 2, 3, 4, 5)
    agreed(tiny.check(data=data(), seed=3, weights=True, max_epochs=2).comparison)


def test_validate_alone_is_not_looked_at(tiny: Tiny) -> None:
    with lightnings_own_warnings_aside():
        quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        trainer = tiny.pl.Trainer(callbacks=ParityCheck(CASE), **quiet)
        trainer.validate(validated(tiny)(), verbose=False)  # without a golden


def test_an_epoch_that_the_model_ends_early(tiny: Tiny) -> None:
    class Ending(tiny.module):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return -1 if batch_idx == 2 else None

    tiny.record(Ending, max_epochs=2, every=1)
    assert golden().steps == (0, 1, 3, 4)  # as the trainer counts, which had drawn the third
    agreed(tiny.check(Ending, max_epochs=2).comparison)


# resumed


def test_numbering_goes_on_from_a_checkpoint(tiny: Tiny) -> None:
    def model() -> Any:
        return tiny.module(dropout=0.0)

    tiny.record(model, steps=[7, 8, 9], max_epochs=2)
    tiny.fit(None, model).save_checkpoint("half.ckpt")
    agreed(
        tiny.check(lambda: tiny.module(dropout=0.0, scale=1.0), ckpt_path="half.ckpt", max_epochs=2, seed=5).comparison
    )
    recorded = tiny.record(model, ckpt_path="half.ckpt", max_epochs=2, first=2, reason="from the half").recorded
    assert recorded is not None
    assert recorded.steps == (6, 7)


def test_numbering_goes_on_from_a_checkpoint_inside_an_epoch(tiny: Tiny) -> None:
    checkpoint = tiny.pl.callbacks.ModelCheckpoint("ckpt", every_n_train_steps=2, save_top_k=-1, filename="{step}")
    tiny.fit(checkpoint, enable_checkpointing=True)
    recorded = tiny.record(ckpt_path="ckpt/step=2.ckpt", first=2).recorded
    assert recorded is not None
    assert recorded.steps == (2, 3)


def test_a_resumed_training_draws_as_the_whole_one(tiny: Tiny) -> None:
    class Drawn(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, row: int) -> Any:
            return torch.randn(4), torch.randn(1)

    checkpoint = tiny.pl.callbacks.ModelCheckpoint("ckpt", every_n_train_steps=2, save_top_k=-1, filename="{step}")
    tiny.fit(checkpoint, enable_checkpointing=True)
    tiny.record(data=torch.utils.data.DataLoader(Drawn(), batch_size=2), rng="keyed", steps=[2, 3])
    data = torch.utils.data.DataLoader(Drawn(), batch_size=2)
    agreed(tiny.check(data=data, weights=True, seed=3, ckpt_path="ckpt/step=2.ckpt").comparison)


def test_a_validation_that_a_checkpoint_has_cut_is_no_step(tiny: Tiny) -> None:
    class Saving(validated(tiny)):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.fit_loop.total_batch_idx == 1:
                self.trainer.save_checkpoint("cut.ckpt")

    options = {"val_check_interval": 2, "num_sanity_val_steps": 0}
    tiny.fit(None, Saving, **options)
    recorded = tiny.record(validated(tiny), ckpt_path="cut.ckpt", first=2, **options).recorded
    assert recorded is not None
    assert recorded.steps == (2, 3)


def test_each_fit_is_recorded_anew(tiny: Tiny) -> None:
    callback = ParityRecord(CASE)
    tiny.fit(callback)
    tiny.fit(callback, lambda: tiny.module(scale=2.0))
    assert callback.recorded is not None
    assert callback.recorded.moved is not None
    agreed(tiny.check(lambda: tiny.module(scale=2.0)).comparison)
