"""A small masked diffusion language model and an autoregressive one, on the same backbone, and what trains both."""
