"""What the cards of the demo world say in words: figures first, then every caveat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.grid import BETAS
from ggez_hub.evaluation.selection import Trade, trade
from ggez_hub.evaluation.task import Task
from ggez_hub.regions import find_region
from ggez_hub.world.demo import METRIC

if TYPE_CHECKING:
    from ggez_hub.evaluation.comparison import Estimate
    from ggez_hub.evaluation.subjects.opening import Way
    from ggez_hub.world.parts import Part
    from ggez_hub.world.place import Place

CAVEATS = """\
## Caveats

- It measures *language* and an *unseen drawing style*, not culture: the pictures are the same for every language.
- The words are not unseen: every name of the test was seen in training, with pictures of other styles.
- beta is chosen on the validation style alone. Test scores were looked at more than once while this was built; nothing was
  chosen by them.
- It is a demonstration of ggez-hub, trained in minutes on two processor cores, and of no other use.
"""


@dataclass(frozen=True)
class Words:
    """How a family is measured for its cards, and what they say.

    details  whether each answer records its picture, prompt and likelihoods
    betas    the grid
    way      how its models are asked, None for the family's own way
    base     the base's card below its front matter, from its training record
    adapter  an adapter's card below its front matter
    """

    details: bool
    betas: tuple[float, ...]
    way: Callable[[], Way | None]
    base: Callable[[dict[str, Any]], str]
    adapter: Callable[[Place, AdapterCard, Sequence[Task], dict[str, Any] | None], str]


def prose_of(part: Part) -> Words:
    """The words of a family."""
    if part.family == "embedding":
        return Words(False, BETAS, lambda: None, base_prose, adapter_prose)
    words: Words = import_module(f"ggez_hub.world.{part.family}.prose").WORDS
    return words


def shares_of(record: dict[str, Any]) -> str:
    """The share of each language, in words."""
    return ", ".join(f"{k} {100 * v:g} %" for k, v in record["share_per_language"].items())


def sources_of(record: dict[str, Any]) -> str:
    """What went in, as a list."""
    return "\n".join(
        f"- {s['for']}: {s.get('package', s.get('name', ''))} ({s['license']}; {s['credit']})"
        for s in record["sources"]
    )


def base_prose(record: dict[str, Any]) -> str:
    """The base's card below its front matter."""
    shares, sources = shares_of(record), sources_of(record)
    return f"""\
# clip-emoji

A small CLIP in open_clip's layout: an EfficientNet-lite0 image tower with ImageNet weights, frozen, and a text tower of
three layers with a multilingual tokenizer, trained here on names of emoji. It is the global model of ggez-hub's demo
world: English, with a little of the languages that regional adapters teach it.

Share of training names by language: {shares}.

```python
import open_clip

model, preprocess = open_clip.create_model_from_pretrained("local-dir:PATH")
tokenizer = open_clip.get_tokenizer("local-dir:PATH")
```

## Made of

{sources}

`training.json` holds seed, hyper-parameters and versions. `python -m ggez_hub.world build --family embedding` builds
it from the published packages.

{CAVEATS}"""


def adapter_prose(
    place: Place, card: AdapterCard, tasks: Sequence[Task], seeds: dict[str, Any] | None
) -> str:
    """An adapter's card below its front matter."""
    assert card.curve != "unknown"  # noqa: S101 - the world's cards are measured
    region = find_region(card.region)
    seen = trade(card.curve, "test", card.alpha.value, region.id, region.id)
    chosen = trade(card.curve, "validation", card.alpha.value, region.id, region.id).chosen.beta
    parts = [
        f"# clip-emoji-{region.id}",
        f"A LoRA that teaches clip-emoji the names of emoji in {', '.join(card.languages)}: a "
        f"language adapter for {region.name}, part of ggez-hub's demo world.",
        grid_table(seen, chosen),
        f"{verdict(seen, chosen)} `ggez-hub demo` gives the paired intervals.",
        _control(place, tasks, region.id, chosen),
        _seeds(seeds),
        "`evidence/predictions.parquet` holds every answer; all scores follow from it.",
        CAVEATS.rstrip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def grid_table(seen: Trade, chosen: float) -> str:
    """The scores of the grid on test, as a section."""
    rows = "\n".join(
        f"| {p.beta:g}{' (chosen on validation)' if p.beta == chosen else ''} "
        f"| {p.q_global.score:.1f} +- {p.q_global.se:.1f} "
        f"| {p.q_regional.score:.1f} +- {p.q_regional.se:.1f} | {p.grp:.2f} +- {p.se:.2f} |"
        for p in seen.points
    )
    return f"""\
## Scores on test

{seen.metric}, 0-100, with standard errors; n = {seen.points[0].q_regional.n}. GRP on scores above chance: a *demo parity* of
English names (global) and regional names.

| beta | English names | regional names | GRP |
|---|---|---|---|
{rows}"""


def verdict(seen: Trade, chosen: float) -> str:
    """Which of base, merge and unmerged adapter has the highest GRP on test."""
    models = {"the base": 0.0, f"the merge at the chosen beta {chosen:g}": chosen,
              "the unmerged adapter": 1.0}  # fmt: skip
    points = {name: point for name, beta in models.items() if (point := seen.at(beta))}
    best = max(points, key=lambda name: points[name].grp)
    return (
        f"Of base, merge and unmerged adapter, {best} has the highest GRP on test "
        f"({points[best].grp:.2f})."
    )


def _control(place: Place, tasks: Sequence[Task], region: str, beta: float) -> str:
    from ggez_hub.families import get_family
    from ggez_hub.world.control import lead_over_shuffled

    family, asked = get_family("embedding"), [t for t in tasks if t.metric == METRIC]
    leads = lead_over_shuffled(place.base, place.adapter(region), family, asked, place.data, beta)
    rows = "\n".join(f"| {name} | {shown(lead)} |" for name, lead in sorted(leads.items()))
    beaten = all(lead.low > 0 for lead in leads.values())
    says = "Every" if beaten else "Not every"
    return f"""\
## Control

How far the merge at beta {beta:g} is ahead of itself with the names shuffled among the pictures, in points. {says}
interval excludes 0.

| task | lead |
|---|---|
{rows}"""


def shown(lead: Estimate) -> str:
    """A figure in points with its interval."""
    return f"{lead.value:.1f} [{lead.low:.1f}, {lead.high:.1f}]"


def _seeds(seeds: dict[str, Any] | None) -> str:
    if seeds is None:
        return ""
    rows = []
    for run in seeds["seeds"]:
        rows += [
            f"| {run['seed']} | {point['beta']:g} | {_percent(point, 'en')} | {_percent(point, 'th')} |"
            for point in run["curve"]
            if point["beta"] in {0.0, 0.4, 1.0}
        ]
    return (
        "## Three seeds\n\nBase and adapter trained anew, R@1 on test in %; seed 0 is the one published. Names "
        "are tokenised here as in training; the scores above go through open_clip's tokenizer, "
        "which straightens the curly quotes of 95 names first.\n\n"
        "| seed | beta | English names | Thai names |\n|---|---|---|---|\n" + "\n".join(rows)
    )


def _percent(point: dict[str, Any], language: str) -> str:
    return f"{100 * point['test'][language]:.1f}"
