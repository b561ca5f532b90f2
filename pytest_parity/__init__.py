"""Numerical regression testing of training code."""
