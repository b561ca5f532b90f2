"""Verdict: what ``judge`` is made of, from what is missing to what is unlikely."""
