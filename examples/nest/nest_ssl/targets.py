"""From a configuration's sections to nest_ssl's own classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from nest_ssl.decoder import MultiSoftmaxDecoder
from nest_ssl.encoder import ConformerEncoder
from nest_ssl.loss import MultiMLMLoss
from nest_ssl.masking import RandomBlockMasking
from nest_ssl.model import DenoiseMaskedTokenPredModel
from nest_ssl.preprocessor import AudioToMelSpectrogramPreprocessor
from nest_ssl.quantizer import RandomProjectionVectorQuantizer

CONFIG = Path(__file__).parent / "config" / "nest_fast-conformer.yaml"

TARGETS: dict[str, type[nn.Module]] = {
    "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor": AudioToMelSpectrogramPreprocessor,
    "nemo.collections.asr.modules.ConformerEncoder": ConformerEncoder,
    "nemo.collections.asr.modules.MultiSoftmaxDecoder": MultiSoftmaxDecoder,
    "nemo.collections.asr.modules.RandomBlockMasking": RandomBlockMasking,
    "nemo.collections.asr.modules.RandomProjectionVectorQuantizer": RandomProjectionVectorQuantizer,
    "nemo.collections.asr.losses.MultiMLMLoss": MultiMLMLoss,
}
"""NeMo's names in `_target_`, and what stands for them here."""

FIXED: dict[type[nn.Module], dict[str, Any]] = {
    AudioToMelSpectrogramPreprocessor: {
        "normalize": "per_feature",
        "window": "hann",
        "log": True,
        "frame_splicing": 1,
    },
    ConformerEncoder: {
        "feat_out": -1,
        "subsampling": "dw_striding",
        "causal_downsampling": False,
        "self_attention_model": "rel_pos",
        "att_context_size": [-1, -1],
        "att_context_style": "regular",
        "untie_biases": True,
        "conv_norm_type": "batch_norm",
        "conv_context_size": None,
        "dropout_emb": 0.0,
        "stochastic_depth_drop_prob": 0.0,
        "stochastic_depth_mode": "linear",
        "stochastic_depth_start_layer": 1,
    },
    MultiSoftmaxDecoder: {"squeeze_single": False},
    MultiMLMLoss: {"squeeze_single": False},
    RandomBlockMasking: {"allow_overlap": True},
    RandomProjectionVectorQuantizer: {"dist_fn": "l2", "freeze": True, "squeeze_single": False},
}
"""NeMo's options that have one value here."""


def load_config(overrides: Sequence[str] = ()) -> DictConfig:
    """Read the configuration, under overrides as OmegaConf writes them (`model.encoder.n_layers=2`)."""
    merged = OmegaConf.merge(OmegaConf.load(CONFIG), OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(merged, DictConfig)
    return merged


def data_overrides(directory: Path) -> list[str]:
    """Give the overrides that point at the data of `nest_ssl.make_dummy_data`."""
    return [
        f"model.train_ds.manifest_filepath={directory / 'train_manifest.json'}",
        f"model.train_ds.noise_manifest={directory / 'noise_manifest.json'}",
        f"model.validation_ds.manifest_filepath={directory / 'val_manifest.json'}",
        f"model.validation_ds.noise_manifest={directory / 'noise_manifest.json'}",
    ]


def build_model(
    cfg: DictConfig, model_class: type[DenoiseMaskedTokenPredModel] = DenoiseMaskedTokenPredModel
) -> DenoiseMaskedTokenPredModel:
    """Build the model of the section `model` of the configuration, freshly initialised, in training mode.

    Args:
        cfg: the section.
        model_class: the model's class, for subclasses.

    Raises:
        ValueError: if the section asks for something that is not implemented.

    """
    refuse(cfg, "model", {"mask_position": "pre_conv"})
    return model_class(
        preprocessor=build(cfg.preprocessor),
        quantizer=build(cfg.quantizer),
        mask_processor=build(cfg.masking),
        encoder=build(cfg.encoder),
        decoder=build(cfg.decoder),
        loss=build(cfg.loss),
    )


def build(cfg: DictConfig) -> nn.Module:
    """Build the module that a section's `_target_` names.

    Raises:
        ValueError: if nest_ssl has no such module, or not with such a value.

    """
    target = TARGETS.get(cfg._target_)
    if target is None:
        raise ValueError(f"nest_ssl has no module for _target_ {cfg._target_}; it has {', '.join(sorted(TARGETS))}")
    fixed = FIXED.get(target, {})
    refuse(cfg, target.__name__, fixed)
    return target(**{name: value for name, value in section(cfg).items() if name not in fixed})


def section(cfg: DictConfig) -> dict[str, Any]:
    """Give a section's values without its `_target_`, interpolations resolved."""
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items() if name != "_target_"}


def refuse(cfg: DictConfig, what: str, fixed: Mapping[str, Any]) -> None:
    """Raise ValueError for an option whose value is not the one that is implemented."""
    for name, only in fixed.items():
        value = cfg.get(name, only)
        if value != only:
            raise ValueError(f"{what}: {name}={value} is not implemented, only {name}={only}")
