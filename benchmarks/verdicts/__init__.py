"""Verdicts: what passes that must pass, and what is caught that must be, at the default settings."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported: threads that spin starve each other
