"""The curated index: cards, the file made of them, and what keeps it true."""
