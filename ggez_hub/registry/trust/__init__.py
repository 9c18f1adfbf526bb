"""Signatures by OpenSSF Model Signing, who may sign for whom, and how fresh an index is."""
