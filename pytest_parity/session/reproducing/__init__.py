"""Reproducing: what a failing check left, as a directory with a script that needs only torch."""

from pytest_parity.session.reproducing.subject import Subject
from pytest_parity.session.reproducing.writing import Written, reproduce

__all__ = ["Subject", "Written", "reproduce"]
