"""What the cards of the vision-language family say: figures first, then every caveat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.comparison import parity_difference
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell
from ggez_hub.evaluation.predictions import read_predictions
from ggez_hub.evaluation.prepared import prepare_tasks
from ggez_hub.evaluation.selection import trade
from ggez_hub.evaluation.task import Task
from ggez_hub.families import get_family
from ggez_hub.regions import find_region
from ggez_hub.world.brief import sides_at
from ggez_hub.world.control import lead_over_blank
from ggez_hub.world.place import Place
from ggez_hub.world.prose import Words, grid_table, shares_of, shown, sources_of, verdict
from ggez_hub.world.vlm.kept import kept
from ggez_hub.world.vlm.model import load_model
from ggez_hub.world.vlm.readings import STRIDE, correct_by_sum, written_names

BETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
EVIDENCE = "evidence/predictions.parquet"

CAVEATS = """\
## Caveats

- One seed. How far another would be from it was not measured.
- It measures *language* and an *unseen drawing style*, not culture: the pictures are the same for every language.
- The words are not unseen: every name of the test was seen in training, with pictures of other styles.
- Choosing among four names is far easier than writing one: see above what becomes of names that it writes by itself.
- The base's 5 % of Thai were set beforehand; with another share the gain would be another.
- beta is chosen on the validation style alone.
- It is a demonstration of ggez-hub, trained in minutes on two processor cores, and of no other use.
"""


def base_prose(record: dict[str, Any]) -> str:
    """The base's card below its front matter."""
    questions = ", ".join(f"“{q}” ({language})" for language, q in record["questions"].items())
    return f"""\
# vlm-emoji

A small vision-language model of transformers (`FastVlmForConditionalGeneration`): an EfficientNet-lite0 image tower with
ImageNet weights, frozen, whose 4 x 4 places become 16 tokens, and a Llama of three layers that names what it sees. It
answers one question, in two languages: {questions}. It is the global vision-language model of ggez-hub's demo world:
English, with a little Thai.

Share of training answers by language: {shares_of(record)}.

```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("PATH")
processor = AutoProcessor.from_pretrained("PATH")
```

## Made of

{sources_of(record)}

`training.json` holds seed, hyper-parameters and versions. `python -m ggez_hub.world build --family vlm` builds it from
the published packages.

{CAVEATS}"""


def adapter_prose(
    place: Place, card: AdapterCard, tasks: Sequence[Task], seeds: dict[str, Any] | None
) -> str:
    """An adapter's card below its front matter."""
    del seeds
    assert card.curve != "unknown"  # noqa: S101 - the world's cards are measured
    region = find_region(card.region)
    seen = trade(card.curve, "test", card.alpha.value, region.id, region.id)
    chosen = trade(card.curve, "validation", card.alpha.value, region.id, region.id).chosen.beta
    parts = [
        f"# vlm-emoji-{region.id}",
        f"A LoRA that teaches vlm-emoji to name emoji in {', '.join(card.languages)}: a language "
        f"adapter for {region.name}, part of ggez-hub's demo world, made by `ggez-hub train` with "
        "the recipe `ggez_hub/world/vlm/train-th.yaml`.",
        grid_table(seen, chosen),
        "The model chooses among the right name and three of the same Unicode group: the one whose "
        "tokens have the highest mean log-likelihood as its reply. Chance is 25.",
        f"{verdict(seen, chosen)} {_leads(place, tasks, card, chosen)}",
        _control(place, tasks, region.id, chosen),
        _readings(place, tasks, region.id, chosen),
        f"`{EVIDENCE}` holds every answer with its log-likelihoods; all scores follow from it.",
        CAVEATS.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def _leads(place: Place, tasks: Sequence[Task], card: AdapterCard, chosen: float) -> str:
    """How far the merge is ahead in parity, item by item."""
    outcomes = read_predictions(place.adapter(card.region) / EVIDENCE)
    alpha = card.alpha.value
    merged = sides_at(outcomes, tasks, chosen)
    leads = [
        f"ahead of {name} by {shown(parity_difference(merged, sides_at(outcomes, tasks, beta), alpha))}"
        for name, beta in (("the base", 0.0), ("the unmerged adapter", 1.0))
        if beta != chosen
    ]
    return f"The merge is {' and '.join(leads)} points of GRP, paired by picture."


def _control(place: Place, tasks: Sequence[Task], region: str, chosen: float) -> str:
    model = Model(place.base, (place.adapter(region),), get_family("vlm"))
    real = read_predictions(place.adapter(region) / EVIDENCE)
    betas = sorted({0.0, chosen, 1.0})
    found = lead_over_blank(model, tasks, place.data, real, betas, kept())
    rows = "\n".join(
        f"| {cell.task} | {cell.beta:g} | {shown(lead)} |" for cell, lead in sorted(found.items())
    )
    beaten = all(lead.low > 0 for lead in found.values())
    says = "Every" if beaten else "Not every"
    return f"""\
## Control

How far the model is ahead of itself where every picture is blank, in points: 95 % intervals of the paired difference.
{says} interval excludes 0.

| task | beta | lead |
|---|---|---|
{rows}"""


def _readings(place: Place, tasks: Sequence[Task], region: str, chosen: float) -> str:
    outcomes = read_predictions(place.adapter(region) / EVIDENCE)
    _, processor = load_model(place.base)
    prepared = prepare_tasks(tasks, place.data, ("test",))
    betas = tuple(dict.fromkeys((0.0, chosen, 1.0)))
    written = written_names(place, place.adapter(region), tasks, betas)
    rows = []
    for asked in prepared:
        for beta in betas:
            cell = outcomes[Cell(beta, asked.id, "test")]
            right, of = written[asked.id][beta]
            rows.append(
                f"| {asked.id} | {beta:g} | {100 * cell.correct.mean():.1f} "
                f"| {correct_by_sum(cell, asked, processor.tokenizer):.1f} | {right} of {of} |"
            )
    table = "\n".join(rows)
    return f"""\
## Other readings

By mean is what is scored above; by sum a long name loses by its length. Written are the names that greedy decoding
gives exactly (letter case aside), for every {STRIDE}th picture of the test.

| task | beta | right by mean, % | right by sum, % | written |
|---|---|---|---|---|
{table}"""


WORDS = Words(details=True, betas=BETAS, way=kept, base=base_prose, adapter=adapter_prose)
