"""Merges of local folders, with the same lock and card as a pull."""
