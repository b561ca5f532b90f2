"""nest_ssl in a training loop of one's own, checked against NeMo's: `python examples/nest/nest_loop.py`."""

from __future__ import annotations

import sys

import hydra
from nest_ssl import NEST_NAMES, build_model, build_optimizer

from pytest_parity import Comparison, check

with hydra.initialize("nest_ssl/config", version_base=None):
    cfg = hydra.compose("tiny", ["work=work"])
model = build_model(cfg.model)
optimizer, _ = build_optimizer(model, cfg.model.optim)


def bit_for_bit(comparison: Comparison) -> None:
    """Logic of one's own: it is given each comparison, passed or failed."""
    print("bit for bit" if set(comparison.counts) == {"equal"} else f"not bit for bit: {comparison.counts}")


options = {"atol": 1e-5, "rtol": 1e-5, "compared": bit_for_bit, "out": "comparison", "raises": False}
with check("fresh", "nest/loop", model, optimizer, names=NEST_NAMES, weights=True, **options) as run:
    for batch in run.steps([]):  # NeMo's batches, of the steps that were kept
        loss = model.training_step(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.assert_step(loss=loss)
        failing = [delta for delta in run.comparison().failures if delta.step == run.step]
        print(f"step {run.step}:", f"mismatch at {len(failing)} sites" if failing else "match")
print(run)
sys.exit(run.failure and str(run.failure))
