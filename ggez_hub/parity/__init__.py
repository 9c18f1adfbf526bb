"""Global-Regional Parity and the choice of beta (arXiv 2604.11490); no torch, no network."""
