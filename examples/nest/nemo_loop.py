"""NeMo's model in a training loop of one's own, recorded: `python examples/nest/nemo_loop.py`, with the data in `work`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hydra
from lightning.pytorch import Trainer
from nemo.collections.asr.models.ssl_models import EncDecDenoiseMaskedTokenPredModel

from pytest_parity import record

if TYPE_CHECKING:
    from pytest_parity.session.loop import Loop

with hydra.initialize("nest_ssl/config", version_base=None):
    cfg = hydra.compose("tiny", ["work=work"])
trainer = Trainer(accelerator="cpu", max_steps=3, logger=False, enable_checkpointing=False)  # NeMo's model asks for one
model = EncDecDenoiseMaskedTokenPredModel(cfg.model, trainer).train()
model.log_dict = lambda *_, **__: None  # it logs within Trainer.fit alone
optimizer, _ = model.setup_optimization()


def train(run: Loop) -> None:
    """Three steps, without the schedule of the learning rate."""
    for step, batch in enumerate(run.steps(model.train_dataloader(), limit=3)):
        loss = model.training_step(batch, step)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.assert_step(loss=loss)


with record("fresh", "nest/loop", model, optimizer, seed=42, again=train) as run:
    train(run)
print(run)
