"""Faults: of seeded faults, how many are caught, how many modules are named, how many hints are right."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is imported: threads that spin starve each other
