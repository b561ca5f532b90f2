"""Train the autoregressive model: as train.py, by the same options.

python train_ar.py --text FILE --experiment_name ar
"""

from __future__ import annotations

from diffusion_lm.ar import Autoregressive
from diffusion_lm.training import main

if __name__ == "__main__":
    main(Autoregressive)
