"""The prose of the embedding family's cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from demo_world.card_text import CardContext, FamilyText, listed, made_of, shares_of
from demo_world.control import lead_over_corrupted, shuffle_names
from demo_world.training_records import card_of_record
from ggez_hub.demo.questions import questions_of, tasks_of
from ggez_hub.demo.world import EMBEDDING
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.parity.intervals import Interval

CAVEATS = (
    """\
It measures *language* and an *unseen drawing style*, not culture: the pictures are the same for every language.""",
    """\
The words are not unseen: every name of the test was seen in training, with pictures of other styles.""",
    """\
beta is chosen on the validation style alone. Test scores were looked at more than once while this was built; nothing was
  chosen by them.""",
)


def _base(record: Mapping[str, Any]) -> str:
    return f"""\
# clip-emoji

A small CLIP in open_clip's layout: an EfficientNet-lite0 image tower with ImageNet weights, frozen, and a text tower of
three layers with a multilingual tokenizer, trained here on names of emoji. It is the global model of ggez-hub's demo
world: English, with a little of the languages that regional adapters teach it.

Share of training names by language: {shares_of(record)}.

```python
import open_clip

model, preprocess = open_clip.create_model_from_pretrained("local-dir:PATH")
tokenizer = open_clip.get_tokenizer("local-dir:PATH")
```

{made_of(record, EMBEDDING.family)}

{listed(CAVEATS)}"""


def _intro(context: CardContext) -> str:
    return (
        f"A LoRA that teaches clip-emoji the names of emoji in {', '.join(context.card.languages)}: a "
        f"language adapter for {context.region.name}, part of ggez-hub's demo world."
    )


def _control(context: CardContext) -> Mapping[Cell, Interval]:
    names = sorted({task.columns.text for task in tasks_of(EMBEDDING, context.region)})
    return lead_over_corrupted(WORDS.questions, context, lambda path: shuffle_names(path, names))


def _tokens(context: CardContext) -> Sequence[str]:
    if len(context.seeds) < 2:
        return ()
    return (
        """\
In the section on seeds, those that are not published were measured with names tokenised as in training; all other scores go
through open_clip's tokenizer, which straightens the curly quotes of 95 names first.""",
    )


WORDS = FamilyText(
    questions=questions_of(EMBEDDING),
    card=card_of_record,
    base=_base,
    intro=_intro,
    scores="The share of names whose own picture is found first among all (R@1).",
    control=_control,
    controlled="with the names shuffled among the pictures",
    more=_tokens,
    caveats=CAVEATS,
)
