"""What must agree before numbers count: the structure of two models, the environments that they run in."""

from __future__ import annotations
