"""A study's ratings as a data set for the Hub: the files, their card, and a Croissant description.

Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html) says what each column is, so
that other tools load the ratings without knowing this package.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.atomic_files import write_file
from ggez_hub.data.croissant import CONTEXT
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.ratings import COLUMNS, RATINGS
from ggez_hub.evaluation.people.scores import SCORES, PeopleScores, read_scores
from ggez_hub.humans.study import STUDY_FILE, Study
from ggez_hub.quantities import counted

CROISSANT, CARD = "croissant.json", "README.md"
SPEC = "http://mlcommons.org/croissant/1.0"
KINDS = {
    "value": "sc:Float",
    "seconds": "sc:Float",
    "position": "sc:Integer",
    "occurrence": "sc:Integer",
    "gold": "sc:Boolean",
    "gold_right": "sc:Boolean",
}
DESCRIPTIONS = {
    "judgement": "Names the judgement among all",
    "item_side": "What the item is about: the world (global) or the region (regional)",
    "model_digest": "sha256 of what the model is",
    "models": "sha256 of the set of models that the study compares",
    "rater": "Pseudonym",
    "rater_kind": "person or simulated",
    "rater_side": "Where the rater is from: the region (regional) or the rest of the world (global)",
    "value": "What the rater said; the worst and the best value are in scores.json",
    "position": "Place of the output on the screen, from 0",
    "occurrence": "1 where the rater judged the same set a second time",
    "gold": "Whether the answer is known beforehand",
    "gold_right": "Whether the known answer was given",
    "seconds": "How long the set was shown; 0 where it is not known",
    "time": "UTC, ISO 8601",
}
Json = dict[str, Any]


def write_data_set(target: Path, folder: Path, study: Study, license_id: str) -> PeopleScores:
    """Write the data set of a scored study; raises GgezError where its scores do not follow."""
    scores = read_scores(folder)
    if scores.problems or scores.recorded != scores.recomputed:
        raise GgezError(
            f"the scores of {folder} do not follow from its ratings",
            f"ggez-hub humans score {folder} makes them again.",
        )
    target.mkdir(parents=True, exist_ok=True)
    for name in (STUDY_FILE, RATINGS, SCORES):
        shutil.copyfile(folder / name, target / name)
    write_file(target / CARD, _card(study, scores, license_id))
    text = json.dumps(_croissant(target, study, license_id), ensure_ascii=False, indent=2)
    write_file(target / CROISSANT, f"{text}\n")
    return scores


def _card(study: Study, scores: PeopleScores, license_id: str) -> str:
    front = {
        "license": license_id,
        "language": sorted({tag.partition("-")[0] for tag in study.languages}),
        "pretty_name": study.title["en"],
        "tags": ["ggez", "ggez-people", f"ggez-region:{study.region}", "croissant"],
        "configs": [{"config_name": "ratings", "data_files": RATINGS}],
    }
    found = scores.recomputed
    judge = "people" if scores.judge == "people" else "scripts (`rater_kind: simulated`)"
    listed = "\n".join(
        f"- `{column}`: {DESCRIPTIONS[column]}" for column in COLUMNS if column in DESCRIPTIONS
    )
    models = "\n".join(
        f"- `{m.name}` ({m.role}): `{m.digest}`" + ("" if m.beta is None else f", beta {m.beta:g}")
        for m in study.models
    )
    return f"""---
{yaml.safe_dump(front, allow_unicode=True, sort_keys=False).strip()}
---

# {_plain(study.title["en"])}

{counted(found["judgements"], "judgement")} of {counted(len(found["raters"]), "rater")}, by {judge}, about the region `{study.region}`; design `{study.design.name}`.
Raters are pseudonyms with the country and languages that they declared; they agreed to version
{_plain(study.consent.version)} of the consent text in `{STUDY_FILE}`.

Every score in `{SCORES}` follows from `{RATINGS}`: `ggez-hub verify .` recomputes them.

## Models

{models}

## Columns

{listed}
"""


def _plain(text: str) -> str:
    """A stranger's text on one line, without what Markdown or HTML would take for markup."""
    return " ".join(text.replace("<", "‹").replace(">", "›").replace("`", "'").split())


def _croissant(target: Path, study: Study, license_id: str) -> Json:
    def field(column: str) -> Json:
        several = {"repeated": True} if column == "rater_languages" else {}
        return {
            "@type": "cr:Field",
            "@id": f"ratings/{column}",
            "name": column,
            "description": DESCRIPTIONS.get(column, column.replace("_", " ")),
            "dataType": KINDS.get(column, "sc:Text"),
            **several,
            "source": {"fileObject": {"@id": RATINGS}, "extract": {"column": column}},
        }

    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPEC,
        "name": study.name,
        "description": study.title["en"],
        "license": license_id,
        "inLanguage": list(study.languages),
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": RATINGS,
                "name": RATINGS,
                "contentUrl": RATINGS,
                "encodingFormat": "application/x-parquet",
                "sha256": sha256_file(target / RATINGS),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "ratings",
                "name": "ratings",
                "description": "One row for each judgement, output and measure",
                "field": [field(column) for column in COLUMNS],
            }
        ],
    }
