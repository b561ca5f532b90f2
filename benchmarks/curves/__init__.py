"""Damaged training curves, caught or not, and benign reruns, passed or not."""
