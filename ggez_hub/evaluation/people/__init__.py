"""Scores of people, from ratings.parquet alone: no study, no server and no model is needed.

ratings      the rows of the file: one for each judgement, output and measure
estimates    means and differences with intervals over raters and items
sample       the judgements of one measure that count, and its figures
agreement    Krippendorff's alpha, consistency, and raters to look at
preferences  win rates, and Davidson's model of comparisons with ties
scores       everything that follows from a file, with what it does not say: scores.json
card_rows    scores as rows of an adapter's card
"""
