"""What the cards of the vision-language family say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ggez_hub.evaluation.comparison import Estimate
from ggez_hub.evaluation.outcomes import Cell
from ggez_hub.evaluation.prepared import prepare_tasks
from ggez_hub.world.asking import Asking, by_tasks, tasks_of
from ggez_hub.world.card_of_record import card_of_record
from ggez_hub.world.control import blank_pictures, lead_over_spoilt
from ggez_hub.world.parts import VLM
from ggez_hub.world.prose import Told, Words, listed, made_of, shares_of
from ggez_hub.world.vlm.kept import kept
from ggez_hub.world.vlm.model import load_model
from ggez_hub.world.vlm.readings import STRIDE, correct_by_sum, written_names

CAVEATS = (
    """\
It measures *language* and an *unseen drawing style*, not culture: the pictures are the same for every language.""",
    """\
The words are not unseen: every name of the test was seen in training, with pictures of other styles.""",
    """\
Choosing among four names is far easier than writing one: an adapter's card says what becomes of names that it writes.""",
    """\
The base's 5 % of Thai were set beforehand; with another share the gain would be another.""",
    "beta is chosen on the validation style alone.",
)


def _base(record: Mapping[str, Any]) -> str:
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

{made_of(record, VLM.family)}

{listed(CAVEATS)}"""


def _intro(told: Told) -> str:
    return (
        f"A LoRA that teaches vlm-emoji to name emoji in {', '.join(told.card.languages)}: a language "
        f"adapter for {told.region.name}, part of ggez-hub's demo world, made by `ggez-hub train` with "
        "the recipe `ggez_hub/world/vlm/train-th.yaml`."
    )


def _control(told: Told) -> Mapping[Cell, Estimate]:
    return lead_over_spoilt(WORDS.ask, told, blank_pictures)


def _readings(told: Told) -> Sequence[str]:
    place, tasks = told.place, tasks_of(VLM, told.region)
    _, processor = load_model(place.base)
    prepared = prepare_tasks(tasks, place.data, ("test",))
    written = written_names(place, place.adapter(told.card.region), tasks, told.betas)
    rows = []
    for asked in prepared:
        for beta in told.betas:
            outcomes = told.answered.outcomes[Cell(beta, asked.id, "test")]
            right, of = written[asked.id][beta]
            rows.append(
                f"| {asked.id} | {beta:g} | {100 * outcomes.correct.mean():.1f} "
                f"| {correct_by_sum(outcomes, asked, processor.tokenizer):.1f} | {right} of {of} |"
            )
    table = "\n".join(rows)
    return (
        f"""\
## Other readings

By mean is what is scored above; by sum a long name loses by its length. Written are the names that greedy decoding
gives exactly (letter case aside), for every {STRIDE}th picture of the test.

| task | beta | right by mean, % | right by sum, % | written |
|---|---|---|---|---|
{table}""",
    )


WORDS = Words(
    betas=(0.0, 0.25, 0.5, 0.75, 1.0),
    ask=Asking(by_tasks(VLM, details=True), lambda _: kept()),
    card=card_of_record,
    base=_base,
    intro=_intro,
    scores="""\
The model chooses among the right name and three of the same Unicode group: the one whose tokens have the highest mean
log-likelihood as its reply. Chance is 25.""",
    control=_control,
    controlled="where every picture is blank",
    more=_readings,
    caveats=CAVEATS,
)
