"""Draw training curves: `parity curves`, under the name that the training guide has for it, with the same options.

python visualize_training.py ./checkpoints/mdlm_metrics.json ./checkpoints/ar_metrics.json --names "MDLM" "AR" \
    --title " - WikiText-103-v1" --output_dir ./comparison_plots
"""

from __future__ import annotations

import sys

from pytest_parity.cli import main

if __name__ == "__main__":
    sys.exit(main(["curves", *sys.argv[1:]]))
