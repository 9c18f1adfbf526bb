"""Measuring a model over a grid of betas."""
