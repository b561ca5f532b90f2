"""nest_ssl's pretraining under a parity session: the one body that the check, the faults and the measurement run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nest_ssl import build_loader, build_model, build_optimizer
from omegaconf import DictConfig
from workload import STEPS

if TYPE_CHECKING:
    from faults import Fault

    from pytest_parity import Parity


def pretrain(parity: Parity, config: DictConfig, *, fault: Fault | None = None) -> None:
    """Run the golden's steps with the golden's weights and batches; a fault is put in before the first."""
    model = parity.load(build_model(config))
    optimizer, schedule = build_optimizer(model, config.optim)
    if fault is not None:
        fault.apply(model, optimizer)
    with parity.watch(model, optimizer=optimizer) as run:
        for batch in run.steps(build_loader(config.train_ds), limit=STEPS):
            loss, log_probs = model.step(batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
            optimizer.step()
            schedule.step()
            parity.assert_step(outputs=log_probs, loss=loss)
