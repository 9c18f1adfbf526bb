"""Judgements of raters whose preference is known, of any study and design."""

from __future__ import annotations

import numpy as np

from ggez_hub.evaluation.people.ratings import read_ratings, write_ratings
from ggez_hub.humans.assignment import queue, raters_needed
from ggez_hub.humans.ratings import mid_ranks, ratings_of
from ggez_hub.humans.store import Judgement, Rater


def raters_of(study, kind="person", most=10**6):
    """A rater for each place of the study."""
    return [
        Rater(f"{side[0]}{language}{n}", side, language, kind, n, False, "1", "th", (language,), True)
        for side, languages in study.raters.items()
        for language in languages
        for n in range(min(raters_needed(study, side, language), most))
    ]  # fmt: skip


def answers_of(study, shown, latent):
    """What a rater says who sees outputs that are so good (0 is the middle)."""
    design = study.design
    if design.ranking:
        rounded = {model: -round(2 * latent[model]) for model in shown.models}
        return {model: {"rank": rank} for model, rank in mid_ranks(rounded).items()}
    if design.preference:
        one, other = shown.models
        apart = round(latent[one] - latent[other])
        bad = float(max(latent[one], latent[other]) < -1)
        won = 0.5 if bad else (1 + np.sign(apart)) / 2
        return {
            model: {"preference": value, "both_bad": bad}
            for model, value in ((one, won), (other, 1 - won))
        }
    return {
        model: {
            scale.id: float(np.clip(round(latent[model] + (scale.points + 1) / 2), 1, scale.points))
            for scale in design.scales
        }
        for model in shown.models
    }


def judgements_of(study, raters, quality, seed=0, noise=0.7):
    """`quality`: model -> (to the world's raters, to the region's)."""
    rng = np.random.default_rng(seed)
    item = {i.id: rng.normal(0, 0.5) for i in study.items}
    for rater in raters:
        own = rng.normal(0, 0.4)
        for n, shown in enumerate(queue(study, rater.side, rater.language, rater.number)):
            latent = {
                model: quality[model][rater.side == "regional"] + own + item[shown.item]
                + rng.normal(0, noise)
                for model in shown.models
            }  # fmt: skip
            time = f"2026-11-28T10:{n // 60:02}:{n % 60:02}.000000+00:00"
            yield Judgement(rater.id, shown, answers_of(study, shown, latent), 5.0, time)


def rows_of(study, quality=None, raters=None, seed=0, **fields):
    raters = raters_of(study) if raters is None else raters
    quality = quality or dict.fromkeys(study.by_name, (0.0, 0.0))
    by_id = {rater.id: rater for rater in raters}
    return list(ratings_of(study, by_id, judgements_of(study, raters, quality, seed, **fields)))


def ratings_in(folder, rows):
    """The ratings as read from a file, and its sha256."""
    digest = write_ratings(folder / "ratings.parquet", rows)
    return read_ratings(folder / "ratings.parquet"), digest
