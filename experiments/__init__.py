"""Experiments that ask a question of the method; nothing in the package depends on them."""
