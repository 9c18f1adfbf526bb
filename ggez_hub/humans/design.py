"""The design of a study: what is shown to a rater at once, and what is asked about it.

A design is a YAML file with `kind: design`; `designs/` has those of the package. One mechanism serves
them all: some outputs of one item are shown beside each other, and a question is answered about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from ggez_hub.cards.values import LanguageTag, Text
from ggez_hub.errors import UsageProblem
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.recipe_file import read_recipe

DESIGNS = Path(__file__).parent / "designs"


def _with_english(texts: dict[str, str]) -> dict[str, str]:
    if "en" not in texts:
        raise ValueError("needs the text in English, under the key en")
    return texts


Texts: TypeAlias = Annotated[
    dict[LanguageTag, Annotated[Text, Field(min_length=1, max_length=20_000)]],
    AfterValidator(_with_english),
]
"""A text in each language, by BCP 47 tag; `en` is always there."""


class Scale(FrozenModel):
    """A question with ordered answers from 1, about each output that is shown."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    points: Annotated[int, Field(ge=2, le=10)]
    question: Texts
    # The least and the most: what the ends of the scale mean.
    ends: Annotated[tuple[Texts, Texts], Field(strict=False)]


class Ranking(FrozenModel):
    """The outputs that are shown are put in order, 1 the best."""

    ties: bool = True


class Preference(FrozenModel):
    """One of two outputs is preferred."""

    tie: bool = True
    both_bad: bool = True


class Design(FrozenModel):
    """What is shown at once (`outputs` of one item), and one of the three kinds of question."""

    kind: Literal["design"] = "design"
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    outputs: Annotated[int, Field(ge=1, le=5)]
    # Whether what a model gave for another item is wrong, by the first scale: it can be gold.
    mismatched: bool = True
    scales: Annotated[tuple[Scale, ...], Field(strict=False)] = ()
    ranking: Ranking | None = None
    preference: Preference | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Design:
        kinds = [bool(self.scales), self.ranking is not None, self.preference is not None]
        if sum(kinds) != 1:
            raise ValueError("needs exactly one of scales, ranking and preference")
        if self.ranking and self.outputs < 2:
            raise ValueError("a ranking needs two outputs or more")
        if self.preference and self.outputs != 2:
            raise ValueError("a preference needs two outputs")
        return self

    @property
    def compares(self) -> bool:
        """Whether a value holds only beside the other models of the study: ranks and preferences."""
        return not self.scales

    @property
    def measures(self) -> Mapping[str, tuple[float, float]]:
        """The names of the values that a judgement gives each output, with the worst and the best.

        A rank is 1 for the best (mid-ranks of ties), a preference 1 for a win, 0.5 for a tie or both
        bad, 0 for a loss; `both_bad` is 1 for both outputs where both are bad, else 0.
        """
        if self.ranking:
            return {"rank": (float(self.outputs), 1.0)}
        if self.preference:
            both_bad = {"both_bad": (1.0, 0.0)} if self.preference.both_bad else {}
            return {"preference": (0.0, 1.0), **both_bad}
        return {scale.id: (1.0, float(scale.points)) for scale in self.scales}


def find_design(named: str, folder: Path = Path()) -> Design:
    """A design of the package by its name, or the one in a YAML file, seen from `folder`.

    Raises UsageProblem for an unknown name, BadRecipe for a file that is not a design.
    """
    if named.endswith((".yaml", ".yml")):
        return read_recipe(folder / named, "design", Design)
    known = {path.stem: path for path in sorted(DESIGNS.glob("*.yaml"))}
    if named not in known:
        raise UsageProblem(
            f"there is no design {named!r}",
            f"Designs: {', '.join(known)}; or name a YAML file with `kind: design`.",
        )
    return read_recipe(known[named], "design", Design)
