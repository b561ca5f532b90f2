"""Verdicts: what passes that must pass, and what is caught that must be, at the default settings."""
