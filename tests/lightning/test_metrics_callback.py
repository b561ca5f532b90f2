"""MetricsCallback: a fit's metrics file, of either Lightning package."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_fit import Tiny, loader

from pytest_parity import CurveError, UsageError
from pytest_parity.curves import Curve, read_curve
from pytest_parity.lightning import MetricsCallback, ParityRecord

PATH = Path("run_metrics.json")


def read() -> Curve:
    return read_curve(PATH)


def logging(tiny: Tiny, **ways: Any) -> type:
    """A module that keeps what its training steps returned, in ``told``; ``ways`` are other methods of it."""

    class Logging(tiny.module):
        def __init__(self) -> None:
            super().__init__(dropout=0.0)
            self.told: list[float] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.told.append(loss.item())
            return loss

    return type("Logging", (Logging,), ways)


def fitted(tiny: Tiny, model: type | None = None, *, callback: Any = None, also: Any = (), **options: Any) -> Any:
    """The trainer, after a fit."""
    own = callback or MetricsCallback("run", overwrite=options.pop("overwrite", False))
    return tiny.fit([own, *also], model or logging(tiny), **options)


def test_each_batch_is_logged_with_its_loss_over_all_epochs(tiny: Tiny):
    trainer = fitted(tiny, max_epochs=2)
    curve = read()
    assert curve.steps.tolist() == list(range(1, 13))
    assert curve.step_losses.tolist() == trainer.lightning_module.told
    assert curve.epochs.tolist() == [1, 2]
    assert curve.epoch_steps.tolist() == [6, 12]
    assert curve.epoch_losses.tolist() == [np.mean(curve.step_losses[:6]), np.mean(curve.step_losses[6:])]
    assert (curve.experiment_name, curve.model_type, curve.unit) == ("run", "Logging", "")
    assert curve.end_time
    assert [path.name for path in Path().iterdir()] == [PATH.name]


def test_it_goes_to_the_trainers_directory_or_to_the_one_that_is_named(tiny: Tiny):
    fitted(tiny, default_root_dir="root", limit_train_batches=1)
    assert Path("root/run_metrics.json").is_file()
    callback = MetricsCallback("run", "named", model_type="MDLM", unit="nats/token")
    fitted(tiny, callback=callback, limit_train_batches=1)
    curve = read_curve("named/run_metrics.json")
    assert (curve.model_type, curve.unit) == ("MDLM", "nats/token")
    assert callback.path == Path("named/run_metrics.json")


@pytest.mark.parametrize("accumulate", [2, 3])
def test_an_accumulated_loss_is_not_divided(tiny: Tiny, accumulate: int):
    trainer = fitted(tiny, accumulate_grad_batches=accumulate)
    told = np.array(trainer.lightning_module.told)
    ulps = 0 if accumulate == 2 else 1  # a third is rounded
    assert (np.abs(read().step_losses - told) <= ulps * np.spacing(told.astype(np.float32))).all()
    assert read().steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_steps_may_be_the_optimizers(tiny: Tiny):
    callback = MetricsCallback("run", step="optimizer", gradient_norm=True)
    trainer = fitted(tiny, callback=callback, accumulate_grad_batches=4, max_epochs=2)
    told = torch.tensor(trainer.lightning_module.told)
    curve = read()
    assert curve.steps.tolist() == [1, 2, 3, 4]
    expected = [piece.mean().item() for piece in (told[:4], told[4:6], told[6:10], told[10:])]
    np.testing.assert_allclose(curve.step_losses, expected, rtol=1e-6)
    assert curve.series["gradient_norm"].steps.tolist() == [1, 2, 3, 4]
    assert curve.epoch_steps.tolist() == [2, 4]


def test_the_learning_rate_is_the_one_that_the_batch_was_trained_with(tiny: Tiny):
    def configure_optimizers(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    fitted(tiny, logging(tiny, configure_optimizers=configure_optimizers))
    rate = read().series["learning_rate"]
    assert rate.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert rate.values.tolist() == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_each_parameter_group_has_its_rate(tiny: Tiny):
    def configure_optimizers(self: Any) -> Any:
        first, *rest = self.parameters()
        return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": rest, "lr": 0.2}])

    fitted(tiny, logging(tiny, configure_optimizers=configure_optimizers), limit_train_batches=2)
    series = read().series
    assert {name: one.values.tolist() for name, one in series.items()} == {
        "learning_rate": [0.1, 0.1],
        "learning_rate/1": [0.2, 0.2],
    }


def test_the_gradients_norm_is_that_before_clipping(tiny: Tiny):
    norms: list[float] = []

    def configure_gradient_clipping(self: Any, optimizer: Any, *_: Any, **__: Any) -> None:
        norms.append(torch.nn.utils.clip_grad_norm_(self.parameters(), 0.01).item())

    model = logging(tiny, configure_gradient_clipping=configure_gradient_clipping)
    fitted(
        tiny, model, callback=MetricsCallback("run", gradient_norm=True, learning_rate=False), gradient_clip_val=0.01
    )
    norm = read().series["gradient_norm"]
    np.testing.assert_allclose(norm.values, norms, rtol=1e-6)
    assert min(norms) > 0.01
    assert list(read().series) == ["gradient_norm"]


def test_throughput_is_in_samples_a_second(tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    from pytest_parity.lightning import logged

    ticks = iter(range(1000))
    monkeypatch.setattr(logged.time, "perf_counter", lambda: next(ticks) / 4)
    fitted(tiny, callback=MetricsCallback("run", throughput=True))
    throughput = read().series["throughput"]
    assert throughput.unit == "samples/s"
    assert throughput.values.tolist() == [8.0] * 6  # two rows, a quarter of a second


def test_a_metric_that_was_logged_may_be_the_loss_and_others_series(tiny: Tiny):
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = tiny.module.training_step(self, batch, batch_idx)
        self.told.append(loss.item())
        self.log("nll", loss * 2)
        if batch_idx % 3 == 0:
            self.log("rare", float(batch_idx))
        return loss

    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 5.0 + self.current_epoch)

    model = logging(
        tiny, training_step=training_step, validation_step=validation_step, val_dataloader=lambda self: loader(1)
    )
    callback = MetricsCallback("run", loss="nll", series=["rare", "val_loss"], learning_rate=False)
    trainer = fitted(tiny, model, callback=callback, max_epochs=2, num_sanity_val_steps=0)
    curve = read()
    np.testing.assert_allclose(curve.step_losses, 2 * np.array(trainer.lightning_module.told), rtol=1e-6)
    assert curve.series["rare"].steps.tolist() == [1, 4, 7, 10]
    assert curve.series["rare"].values.tolist() == [0, 3, 0, 3]
    assert curve.series["val_loss"].steps.tolist() == [6, 12]
    assert curve.series["val_loss"].values.tolist() == [5, 6]


def test_a_metric_that_is_not_logged_is_said(tiny: Tiny):
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.log("nll", 1.0)
        return tiny.module.training_step(self, batch, batch_idx)

    model = logging(tiny, training_step=training_step)
    said = r"MetricsCallback\(loss='nil'\): training_step has logged no such metric; there is nll$"
    with pytest.raises(UsageError, match=said):
        fitted(tiny, model, callback=MetricsCallback("run", loss="nil"))
    said = "run_metrics.json lacks the series nil, nul: self.log has told no such name; there is nll"
    with pytest.warns(RuntimeWarning, match=said):
        fitted(tiny, model, callback=MetricsCallback("run", series=["nil", "nll", "nul"], overwrite=True))


def test_a_loss_that_is_not_finite_is_in_the_file(tiny: Tiny):
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return tiny.module.training_step(self, batch, batch_idx) * (math.nan if batch_idx == 4 else 1)

    fitted(tiny, logging(tiny, training_step=training_step))
    assert np.isnan(read().step_losses).tolist() == [False, False, False, False, True, True]
    assert json.loads(PATH.read_text())["epoch_losses"] == [None]


def test_a_batch_that_the_step_skips_is_not_logged(tiny: Tiny):
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 2 else {"loss": tiny.module.training_step(self, batch, batch_idx), "more": 1}

    fitted(tiny, logging(tiny, training_step=training_step))
    assert read().steps.tolist() == [1, 2, 4, 5, 6]


def manual(tiny: Tiny, returned: bool) -> type:
    def init(self: Any) -> None:
        tiny.module.__init__(self)
        self.told = []
        self.automatic_optimization = False

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = tiny.module.training_step(self, batch, batch_idx)
        self.told.append(loss.item())
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(loss, retain_graph=True)
        for optimizer in self.optimizers():
            optimizer.step()
        return loss if returned else None

    def configure_optimizers(self: Any) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=rate) for rate in (0.1, 0.2)]

    return type(
        "Manual",
        (tiny.module,),
        {"__init__": init, "training_step": training_step, "configure_optimizers": configure_optimizers},
    )


def test_under_manual_optimization_the_loss_is_what_the_step_returns(tiny: Tiny):
    trainer = fitted(tiny, manual(tiny, True), callback=MetricsCallback("run", gradient_norm=True))
    curve = read()
    assert curve.step_losses.tolist() == trainer.lightning_module.told
    assert curve.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert list(curve.series) == ["learning_rate", "learning_rate/1", "gradient_norm", "gradient_norm/1"]
    said = "under manual optimization training_step has to return its loss; or log it"
    with pytest.raises(UsageError, match=said):
        fitted(tiny, manual(tiny, False), overwrite=True)


# a fit that goes on


class Saving:
    """Checkpoints at batches, the last of an epoch at its end, as a callback that comes after."""

    def __new__(cls, tiny: Tiny, *batches: int) -> Any:
        class Callback(tiny.pl.Callback):
            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                self.save(trainer, trainer.fit_loop.batch_idx < 5)

            def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
                self.save(trainer, True)

            def save(self, trainer: Any, now: bool) -> None:
                batch = trainer.fit_loop.total_batch_idx + 1
                if now and batch in batches:
                    trainer.save_checkpoint(f"{batch}.ckpt", weights_only=False)

        return Callback()


@pytest.mark.parametrize("batch", [4, 6, 9])
@pytest.mark.parametrize("step", ["batch", "optimizer"])
def test_a_fit_that_goes_on_from_a_checkpoint_drops_what_came_after_it(tiny: Tiny, batch: int, step: str):
    fitted(tiny, callback=MetricsCallback("run", step=step), also=[Saving(tiny, batch)], max_epochs=2)
    before = read()
    trainer = fitted(tiny, callback=MetricsCallback("run", step=step), ckpt_path=f"{batch}.ckpt", max_epochs=2)
    after, further = read(), trainer.lightning_module.told
    assert after.steps.tolist() == list(range(1, batch + len(further) + 1))
    assert after.step_losses.tolist() == [*before.step_losses[:batch].tolist(), *further]
    assert after.epochs.tolist() == [1, 2]
    first, second = after.epoch_steps.tolist()
    assert after.epoch_losses.tolist() == [np.mean(after.step_losses[:first]), np.mean(after.step_losses[first:second])]
    assert after.series["learning_rate"].steps.tolist() == after.steps.tolist()
    assert after.start_time == before.start_time


def test_a_checkpoint_that_knows_nothing_of_the_callback_will_do(tiny: Tiny):
    tiny.fit([Saving(tiny, 4)], logging(tiny))
    with pytest.warns(
        UserWarning, match=r"resume=4, and there is no .*run_metrics.json: the curve begins behind step 4"
    ):
        fitted(tiny, ckpt_path="4.ckpt")
    assert read().steps.tolist()[:2] == [5, 6]


def test_another_fit_is_not_written_over_the_first(tiny: Tiny):
    fitted(tiny)
    before = PATH.read_bytes()
    with pytest.raises(CurveError, match=r"run_metrics.json is there already, with 6 steps up to 6"):
        fitted(tiny)
    assert PATH.read_bytes() == before
    fitted(tiny, overwrite=True, limit_train_batches=2)
    assert read().steps.tolist() == [1, 2]


def test_a_second_fit_of_one_trainer_goes_on(tiny: Tiny):
    trainer = fitted(tiny)
    from tiny_fit import lightnings_own_warnings_aside

    with lightnings_own_warnings_aside():
        trainer.fit_loop.max_epochs = 2
        trainer.fit(trainer.lightning_module, loader())
    assert read().steps.tolist() == list(range(1, 13))
    assert read().epochs.tolist() == [1, 2]


# what ends one


def test_a_training_that_raises_leaves_what_it_logged(tiny: Tiny):
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise RuntimeError("the loader is empty")
        return tiny.module.training_step(self, batch, batch_idx)

    with pytest.raises(RuntimeError, match="the loader is empty"):
        fitted(tiny, logging(tiny, training_step=training_step))
    assert read().steps.tolist() == [1, 2, 3]
    assert read().end_time is None
    assert [path.name for path in Path().iterdir()] == [PATH.name]


def test_a_fast_dev_run_writes_nothing(tiny: Tiny):
    fitted(tiny, fast_dev_run=True)
    assert not PATH.exists()


def test_a_rank_that_is_not_the_first_writes_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tiny.pl.Trainer, "is_global_zero", False)
    fitted(tiny)
    assert not PATH.exists()


def test_it_does_not_change_what_is_trained_and_stands_beside_a_recording(tiny: Tiny):
    plain = tiny.fit(None, logging(tiny)).lightning_module
    callback = MetricsCallback("run", gradient_norm=True, throughput=True)
    beside = fitted(tiny, callback=callback, also=[ParityRecord("nest/tiny", "golden", first=2)]).lightning_module
    assert beside.told == plain.told
    assert read().step_losses.tolist() == plain.told
    for own, other in zip(beside.parameters(), plain.parameters(), strict=True):
        assert torch.equal(own, other)


def test_it_is_sent_to_another_process(tiny: Tiny):
    again = pickle.loads(pickle.dumps(MetricsCallback("run", unit="nats/token")))
    fitted(tiny, callback=again)
    assert read().unit == "nats/token"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"experiment_name": "a/b"}, "experiment_name 'a/b' cannot be a file's name"),
        ({"step": "epoch"}, r"MetricsCallback\(step='epoch'\): 'batch' or 'optimizer'"),
        ({"series": "nll"}, r"MetricsCallback\(series='nll'\): a list of names, as in series=\['nll'\]"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(options: dict[str, Any], said: str):
    with pytest.raises(UsageError, match=said):
        MetricsCallback(**{"experiment_name": "run", **options})


def test_sharded_gradients_have_no_norm_here():
    from pytest_parity.lightning.measured import gradient_norm, rows

    class Sharded:
        def full_tensor(self) -> None: ...

    parameter = type("Parameter", (), {"grad": Sharded()})()
    with pytest.raises(UsageError, match="the gradients are sharded, and rank 0 has a part of them"):
        gradient_norm(type("Optimizer", (), {"param_groups": [{"params": [parameter]}]})())
    assert [rows(batch) for batch in (torch.ones(3, 2), {"a": torch.ones(()), "b": (torch.ones(4),)}, "text", [])] == [
        3,
        4,
        0,
        0,
    ]
