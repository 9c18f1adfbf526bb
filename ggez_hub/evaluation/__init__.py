"""Evaluation: tasks, the beta grid, per-item predictions, and scores with intervals.

    task         a benchmark as YAML            items         the rows of a split
    questions    what a task asks               embedding     the model under test, at any beta
    grid         every beta on every task       outcomes      what came out, item by item
    scores       a score and its interval       comparison    means, parity and differences
    predictions  the outcomes as a file         plot          the picture of the trade-off

Importing a module loads no torch; opening a model does.
"""
