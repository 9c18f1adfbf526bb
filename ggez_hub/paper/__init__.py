"""arXiv 2604.11490 rechecked: every derived number of its tables, from its printed columns."""
