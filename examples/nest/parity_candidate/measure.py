"""How far nest_ssl is from the golden, by kind: `python measure.py [GOLDEN]`, and in `NEST_THREADS` the threads.

What `conftest.TOLERANCES` was chosen from. Every site is compared at a tolerance of zero, and the worst of a kind
printed: the largest difference, and the largest as a share of its tensor's largest element.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch

NEST = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(NEST)]

from nest_ssl import NEST_NAMES, data_overrides, load_config, tiny_overrides  # noqa: E402  found by the line above
from nest_ssl.make_dummy_data import make_dummy_data  # noqa: E402
from pretraining import SMALL, pretrain  # noqa: E402

from pytest_parity.errors import ParityFailure  # noqa: E402
from pytest_parity.result import Comparison  # noqa: E402
from pytest_parity.session import MarkerOptions, Mode, Parity, Settings  # noqa: E402
