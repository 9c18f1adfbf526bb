"""arXiv 2604.11490 rechecked: every derived number of its tables, from its printed columns.

printed      the tables, each cell with the width of its rounding
checks       the kinds of check: a weighted mean, a share of n, ranks, one share for all rows
claims       the headline claims, from the printed columns; claim_notes beside them
rules        which checks apply to which table, and what the tables cannot be asked
"""
