"""Measurements as ratios: both sides in one run, so that a slow machine slows both."""
