"""NeMo's pretraining as NeMo's own scripts do it: Hydra, a Trainer of the configuration, the experiment manager, `fit`.

python nemo_pretrain.py --config-name tiny work=DIR, where `python -m nest_ssl.make_dummy_data DIR` has put the data.
"""

from __future__ import annotations

import lightning.pytorch as pl
from nemo.collections.asr.models.ssl_models import EncDecDenoiseMaskedTokenPredModel
from nemo.core.config import hydra_runner
from nemo.utils.exp_manager import exp_manager
from nemo.utils.trainer_utils import resolve_trainer_cfg
from omegaconf import DictConfig


@hydra_runner(config_path="nest_ssl/config", config_name="nest_fast-conformer")
def main(cfg: DictConfig) -> None:
    """Train as the command line says."""
    trainer = pl.Trainer(**resolve_trainer_cfg(cfg.trainer))
    exp_manager(trainer, cfg.get("exp_manager"))
    model = EncDecDenoiseMaskedTokenPredModel(cfg=cfg.model, trainer=trainer)
    model.maybe_init_from_pretrained_checkpoint(cfg)
    trainer.fit(model)


if __name__ == "__main__":
    main()
