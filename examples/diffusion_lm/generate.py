"""Write text from a checkpoint of train.py or train_ar.py.

python generate.py ./checkpoints/mdlm.pt --samples 2 --steps 64
"""

from __future__ import annotations

from diffusion_lm.generate import main

if __name__ == "__main__":
    main()
