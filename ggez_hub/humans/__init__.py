"""Studies in which people judge what models answer or draw, and the scores that follow.

study         the pinned study: models, items, outputs, design; what everything is computed from
spec          STUDY.yaml          design        what is shown at once, and asked
questions     what the models are asked          generation    what they give
outputs       that as raters get it              gold          items whose answer is known
pinning       all of these to a study            assignment    who judges what, in which order
power         how many judgements are needed     simulation    raters whose preference is known
store         raters and their judgements, in SQLite
ratings       judgements as a parquet file, from which every score can be recomputed
exchange      other tools' formats               server        the raters' pages
"""
