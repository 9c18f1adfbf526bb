"""Evaluation: tasks, the beta grid, per-item predictions, and scores with intervals.

    task         a benchmark as YAML            items         the rows of a split
    questions    what a task asks               prepared      tasks with their questions
    asked        what a model is asked
    subjects     models under test              embedding     that of open_clip
    grid         every model on every task      sweep         a grid into a results folder
    answered     answers that are known already outcomes      what came out, item by item
    scores       a score and its interval       breakdown     by country, language and category
    comparison   means, parity and differences of two models, from answers
    quantities   the sides of parity, or Pareto split_parity  the sides at every beta, and how they covary
    curve        a card's rows and its sides    baselines     the switch, averaged outputs, a joint fine-tune
    predictions  the outcomes as a file         consistency   what they must agree on
    header       what results record            evidence      a card or results folder
    results      every figure of it             verification  the figures recomputed
    leakage      what was trained on            gates         pass, fail or undetermined
    benchmark    data sets of others, as YAML   loaders       one for each shape of them
    benchmark_items   what was read, checked    benchmark_questions   what is asked of it
    gallery      what a search searches         option_order  in which order options are shown
    replies      which option a reply chooses   drawn         what drawn pictures are worth
    by_part      whether betas by part paid     report        one page of it all
    paper        the paper's tables rechecked   plot          the picture of the trade-off

Importing a module loads no torch; opening a model does.
"""
