"""Evaluation: what models are asked, what they answer, and what follows from it.

    benchmarks  tasks, benchmarks of others and their loaders, questions, and how replies are read
    models      models under test
    answers     what was answered: outcomes, the cache, predictions as a file, scores
    results     a results folder or a card's evidence: figures, baselines, verification
    sweep       models measured over a grid of betas
    gates       what a merged model has to show
    report      one page with all of it, and the picture of the trade-off

Importing a module loads no torch; opening a model does.
"""
