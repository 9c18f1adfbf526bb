"""Ratings as a file: what every score of people follows from.

STUDY/ratings.parquet has one row for each judgement, output and measure, sorted by rater, time, position
and measure. The same judgements give the same bytes with the same version of pyarrow. Columns:

    study string              digest of the pinned study
    design, measure string    the design's name; rank, preference, both_bad, or the id of a scale
    judgement string          names the judgement among all: <rater>/<key>
    item, item_side, category, language string
    model string, model_digest string    of the output that the value is about
    models string             sha256 of the sorted digests of all models that the study compares
    position int8             place of the output on the screen, from 0
    value double              the value (see Design.measures)
    rater, rater_kind, rater_side, rater_country string; rater_languages list<string>
    occurrence int8           1 where the rater judged the same set a second time
    gold bool, gold_right bool or null
    seconds double, time string (UTC, ISO 8601)
"""
