"""Studies in which people judge what models answer or draw, and the scores that follow.

study         the pinned study: models, items, outputs, design; what everything is computed from
store         raters and their judgements, in SQLite
ratings       judgements as a parquet file, from which every score can be recomputed
"""
