"""Puts this directory, with the package `diffusion_lm`, on the path of the tests below it."""
