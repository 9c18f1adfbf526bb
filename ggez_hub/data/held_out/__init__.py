"""Held-out evaluation sets: whether an example repeats one of them."""
