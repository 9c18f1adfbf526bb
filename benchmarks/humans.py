"""How often intervals of people's scores hold the truth, of 1,000 studies with simulated raters each.

Raters, items and chance are drawn anew in every study (`ggez_hub.humans.simulation`), who judges what is
the study's own design. The truth is what very many raters would say of very many items.

    two-way     what `humans score` prints: variance clustered by rater and by item
    pigeonhole  percentiles of redraws of raters and, independently, of items (A. B. Owen, Ann. Appl. Stat.
                1, 2007), which is known to be cautious
    judgements  percentiles of redraws of single judgements, as tables are mostly made

`python -m benchmarks humans` prints each setting; docs/humans.md says what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.people.agreement import alpha_of, half_width
from ggez_hub.evaluation.people.estimates import Clusters, Term, estimate
from ggez_hub.humans.assignment import raters_needed
from ggez_hub.humans.design import find_design
from ggez_hub.humans.simulation import Sets, Spread, draw_values, points_of, sets_of
from ggez_hub.humans.study import Consent, Output, Study, StudyItem, StudyModel

Floats = NDArray[np.float64]
STUDIES, ALPHAS, REDRAWS, WORLD = 1000, 400, 200, 1_000_000
ALPHA = 0.37397  # of Thailand, 2023
# Of base, merge and unmerged adapter, for raters of the world and of the region.
QUALITY = np.array([[0.0, 0.1, -0.3], [0.0, 0.4, 0.5]])
SPREADS = {"as planned": Spread(), "alike raters": Spread(0.3, 0.3, 0.05, 0.0, 0.9)}


@dataclass(frozen=True)
class Setting:
    """A design with so many items, each set judged by so many raters of a side."""

    design: str
    items: int
    raters_per_item: int
    items_per_rater: int
    spread: str = "as planned"

    def study(self) -> Study:
        design = find_design(self.design)
        design = design.model_copy(update={"outputs": min(design.outputs, QUALITY.shape[1])})
        roles = ("base", "merged", "unmerged")
        return Study(
            name="coverage",
            title={"en": "coverage"},
            region="th",
            raters={"global": ("en",), "regional": ("en",)},
            design=design,
            models=tuple(StudyModel(name=role, role=role, digest=digest_json(role)) for role in roles),
            items=tuple(
                StudyItem(
                    id=str(n), item_side="regional", category="any", language="en", prompt="any",
                    outputs={r: Output(sha256=digest_json([r, n]), media="picture") for r in roles},
                )
                for n in range(self.items)
            ),
            instructions={"en": "any"},
            consent=Consent(version="1", text={"en": "any"}),
            raters_per_item=self.raters_per_item,
            repeats=0.0,
            gold=0.0,
            items_per_rater=self.items_per_rater,
        )  # fmt: skip


SETTINGS = (
    Setting("likert", 20, 2, 10),
    Setting("likert", 40, 3, 30),
    Setting("likert", 40, 3, 30, "alike raters"),
    Setting("likert", 60, 6, 45),
    Setting("translation", 40, 3, 30),
    Setting("rank", 40, 3, 12),
    Setting("rank", 40, 3, 12, "alike raters"),
    Setting("pairs", 40, 3, 30),
)


@dataclass(frozen=True)
class Coverage:
    """The share of studies whose interval holds the truth, by method, and its mean width."""

    figure: str
    raters: int
    judgements: int
    held: dict[str, float]
    width: dict[str, float]


def coverage(
    setting: Setting, studies: int = STUDIES, redraws: int = REDRAWS, seed: int = 0
) -> Iterator[Coverage]:
    """Of the human GRP of the merge (where it stands alone), and of its difference to the base.

    Without `redraws` only the printed intervals are looked at.
    """
    study, spread = setting.study(), SPREADS[setting.spread]
    groups = {(side, "en"): raters_needed(study, side, "en") for side in study.rater_sides}
    sets = sets_of(study, groups)
    shown = sets.models.shape[1]
    n = np.repeat(np.arange(len(sets.raters)), shown)
    by = Clusters(sets.raters[n], sets.sides[n], sets.items[n], n)
    model = sets.models.ravel()
    parity = [
        {side: Term(sign * weight, (model == m) & (by.sides == side)) for side, weight in ((0, ALPHA), (1, 1 - ALPHA))}
        for m, sign in ((1, 1), (0, -1))
    ]  # fmt: skip
    figures = {"difference": [*parity[0].values(), *parity[1].values()]}
    if not study.design.compares:
        figures = {"human GRP": list(parity[0].values()), **figures}
    truth = _truth(study, spread)
    random = np.random.default_rng(seed)
    held: dict[str, dict[str, list[tuple[bool, float]]]] = {name: {} for name in figures}
    for _ in range(studies):
        values = points_of(study.design, draw_values(sets, study.design, QUALITY, spread, random))
        for name, terms in figures.items():
            found = estimate(values.ravel(), by, terms, is_difference=name == "difference")
            limits = {"two-way": (found.low, found.high)}
            if redraws:
                limits |= _redrawn(values.ravel(), by, terms, redraws, random)
            for method, (low, high) in limits.items():
                held[name].setdefault(method, []).append((low <= truth[name] <= high, high - low))
    for name, methods in held.items():
        means = {method: np.mean(rows, axis=0) for method, rows in methods.items()}
        yield Coverage(
            name,
            len(np.unique(by.raters)),
            len(sets.raters),
            {method: float(mean[0]) for method, mean in means.items()},
            {method: float(mean[1]) for method, mean in means.items()},
        )


def alpha_coverage(setting: Setting, studies: int, seed: int = 0) -> tuple[float, float, float]:
    """Krippendorff's alpha of the raters of one side: the truth, and of its intervals the share that
    hold it and their mean width. The truth is that of very many raters and items."""
    study, spread = setting.study(), SPREADS[setting.spread]
    random = np.random.default_rng(seed)

    def judged(sets: Sets) -> tuple[NDArray[np.int64], ...]:
        """Unit, item, rater and value of each judgement of an output."""
        values = draw_values(sets, study.design, QUALITY, spread, random).ravel()
        item, rater = (
            np.repeat(codes, sets.models.shape[1]) for codes in (sets.items, sets.raters)
        )
        unit = item * QUALITY.shape[1] + sets.models.ravel()
        ordered = [np.unique(codes, return_inverse=True)[1] for codes in (unit, values)]
        return ordered[0], item, rater, ordered[1]

    models, k, items = QUALITY.shape[1], setting.raters_per_item, WORLD // 25
    rows = np.repeat(np.arange(items), models * k)
    shown = np.tile(np.repeat(np.arange(models), k), items)[:, None]
    # Of any two judgements the rater is another.
    very_many = Sets(random.integers(0, WORLD, len(rows)), np.zeros_like(rows), rows, shown)
    unit, _, _, value = judged(very_many)
    truth = alpha_of(unit, value)
    sets = sets_of(study, {("global", "en"): raters_needed(study, "global", "en")})
    found = []
    for _ in range(studies):
        unit, item, rater, value = judged(sets)
        alpha = alpha_of(unit, value)
        half = half_width(alpha, unit, item, rater, value)
        found.append((abs(alpha - truth) <= half, 2 * half))
    held, width = np.mean(found, axis=0)
    return truth, float(held), float(width)


def _truth(study: Study, spread: Spread) -> dict[str, float]:
    """What raters of each side say on average of an item, over very many of both."""
    k = study.design.outputs
    per_set = WORLD // k
    random = np.random.default_rng(1)
    rows = np.arange(per_set)
    shown = np.stack([random.permutation(QUALITY.shape[1])[:k] for _ in range(6 * k)])
    models = shown[rows % len(shown)]
    mean = np.empty((2, QUALITY.shape[1]))
    for side in (0, 1):
        sets = Sets(rows, np.full(per_set, side), rows, models)
        values = points_of(study.design, draw_values(sets, study.design, QUALITY, spread, random))
        mean[side] = [values[models == m].mean() for m in range(QUALITY.shape[1])]
    grp = ALPHA * mean[0] + (1 - ALPHA) * mean[1]
    return {"human GRP": float(grp[1]), "difference": float(grp[1] - grp[0])}


def _redrawn(
    values: Floats, by: Clusters, terms: list[Term], redraws: int, random: np.random.Generator
) -> dict[str, tuple[float, float]]:
    def times(codes: NDArray[np.int64]) -> Floats:
        """How often each cluster is drawn, for each row."""
        k = int(codes.max()) + 1
        return random.multinomial(k, np.full(k, 1 / k), size=redraws)[:, codes].astype(float)

    # Raters are drawn within their side.
    raters = np.zeros((redraws, len(values)))
    for side in (0, 1):
        rows = by.sides == side
        raters[:, rows] = times(np.unique(by.raters[rows], return_inverse=True)[1])
    weights = {"pigeonhole": raters * times(by.items), "judgements": times(by.judgements)}
    found = {}
    for method, weight in weights.items():
        total = sum(
            term.weight * (weight[:, term.rows] @ values[term.rows]) / weight[:, term.rows].sum(axis=1)
            for term in terms
        )  # fmt: skip
        low, high = np.quantile(total, (0.025, 0.975))
        found[method] = (float(low), float(high))
    return found


def main() -> None:
    """Print the coverage of every setting."""
    print(f"95 % intervals of {STUDIES} studies each: % that hold the truth (mean width in points)")
    for setting in SETTINGS:
        for own in coverage(setting):
            shown = ", ".join(
                f"{method} {100 * own.held[method]:.1f} ({own.width[method]:.1f})"
                for method in own.held
            )
            print(
                f"{setting.design}, {setting.spread}, {setting.items} items, {own.raters} raters, "
                f"{own.judgements} judgements, {own.figure}: {shown}",
                flush=True,
            )
    for setting in SETTINGS:
        if find_design(setting.design).scales:
            truth, held, width = alpha_coverage(setting, ALPHAS)
            print(
                f"{setting.design}, {setting.spread}, {setting.items} items, "
                f"{setting.raters_per_item} raters an item, Krippendorff's alpha ({truth:.2f}): "
                f"two-way jackknife {100 * held:.1f} ({width:.2f}) of {ALPHAS} studies",
                flush=True,
            )
