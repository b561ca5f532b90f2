"""Train the masked diffusion model.

python train.py --text FILE --experiment_name mdlm
torchrun --nproc_per_node=8 train.py --distributed --hf_raw_repo "Salesforce/wikitext" --hf_raw_split "wikitext-103-v1" \
    --experiment_name "mdlm_wikitext_h100" --epochs 5 --save_dir ./checkpoints
"""

from __future__ import annotations

from diffusion_lm.mdlm import MaskedDiffusion
from diffusion_lm.training import main

if __name__ == "__main__":
    main(MaskedDiffusion)
