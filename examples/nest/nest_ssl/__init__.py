"""NEST pretraining in plain PyTorch: the candidate of the flagship parity tests.

An independent implementation of NVIDIA NeMo's `EncDecDenoiseMaskedTokenPredModel` (nemo_toolkit 3.0.0), written from
its behaviour: the same inputs and outputs module call by module call, under other names and in another structure.
`nest_ssl.names` bridges the two.
"""

from __future__ import annotations

from nest_ssl.augmentation import MultiSpeakerNoiseAugmentation
from nest_ssl.batch import AudioNoiseBatch, AudioNoiseItem
from nest_ssl.data import AudioNoiseDataset, build_loader
from nest_ssl.decoder import MultiSoftmaxDecoder
from nest_ssl.encoder import ConformerEncoder
from nest_ssl.loss import MLMLoss, MultiMLMLoss
from nest_ssl.masking import RandomBlockMasking
from nest_ssl.model import DenoiseMaskedTokenPredModel
from nest_ssl.names import NEST_NAMES
from nest_ssl.optim import NoamAnnealing, build_optimizer
from nest_ssl.preprocessor import AudioToMelSpectrogramPreprocessor
from nest_ssl.quantizer import RandomProjectionVectorQuantizer
from nest_ssl.targets import build_model, data_overrides, load_config

__all__ = [
    "NEST_NAMES",
    "AudioNoiseBatch",
    "AudioNoiseDataset",
    "AudioNoiseItem",
    "AudioToMelSpectrogramPreprocessor",
    "ConformerEncoder",
    "DenoiseMaskedTokenPredModel",
    "MLMLoss",
    "MultiMLMLoss",
    "MultiSoftmaxDecoder",
    "MultiSpeakerNoiseAugmentation",
    "NoamAnnealing",
    "RandomBlockMasking",
    "RandomProjectionVectorQuantizer",
    "build_loader",
    "build_model",
    "build_optimizer",
    "data_overrides",
    "load_config",
]
