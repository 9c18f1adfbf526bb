"""What the answers behind a card's scores add to its page: every gate, languages, questions.

Questions are shown, with their pictures, where the licence of their data set is known and asks for
nothing that a page cannot do: it names the data set and the licence beside each.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ggez_hub.cards.readme import license_of
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import QUESTIONS, Outcomes
from ggez_hub.evaluation.answers.scores import NotComparable, mean, mean_difference
from ggez_hub.evaluation.gates.outcome import gate_report, read_limits
from ggez_hub.evaluation.report.examples import Material, examples, prepared_tasks
from ggez_hub.evaluation.results.breakdown import parts_of
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence, open_evidence
from ggez_hub.hub import Hub, link_fetched
from ggez_hub.registry.licences import table
from ggez_hub.registry.pull.evidence import evidence_of
from ggez_hub.registry.resolution import PinnedAdapter
from ggez_hub.registry.task_data import origin_tasks
from ggez_hub.site.curves import gate_row
from ggez_hub.site.measured_card import AS_IS, TEST, Json, figure

# The licence of a data set by its repository, `unknown` where none is stated.
LicenceOf: TypeAlias = Callable[[str], str]
MAY_BE_SHOWN = frozenset({"attribution", "notice", "changes", "share_alike"})
KINDS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


@contextmanager
def answers_behind(adapter: PinnedAdapter, hub: Hub) -> Iterator[Evidence]:
    """The answers that a card's scores rest on: the registry's results, or else the card's own.

    Raises what the client raises, GgezError, and MissingExtra.
    """
    card = adapter.card
    prefix = f"evidence/{card.path.removeprefix('cards/').removesuffix('.md')}/"
    listed = hub.at_commit(card.repo, card.revision, "dataset").files
    files = [file for file in listed if file.path.startswith(prefix)]
    if any(file.path == prefix + RESULTS for file in files):
        fetched = hub.fetch(card.repo, card.revision, files, "dataset")
        with tempfile.TemporaryDirectory() as work:
            yield open_evidence(link_fetched(fetched, files, Path(work) / "at") / prefix)
        return
    with evidence_of(adapter, hub) as place:
        yield open_evidence(place)


def from_answers(
    evidence: Evidence, beta: float, out: Path, licence_of: LicenceOf, material: Material | None
) -> Json:
    """The fields of an adapter's page that its answers decide; pictures are written below `out`.

    material: the questions by task, if they are at hand.
    """
    report = gate_report(evidence, read_limits(None), beta)
    return {
        "gates": [gate_row(gate) for gate in report.gates],
        "languages_measured": list(_languages(evidence, beta)),
        "samples": list(_samples(evidence, beta, out, licence_of, material)) if material else [],
    }


def add_answers(page: Json, adapter: PinnedAdapter, hub: Hub, out: Path) -> Json:
    """A page with what its answers decide; as it is where they cannot be read.

    Raises MissingExtra.
    """
    beta = AS_IS if adapter.beta is None else adapter.beta.value
    with answers_behind(adapter, hub) as evidence:
        try:
            material = prepared_tasks(origin_tasks(evidence, hub))
        except GgezError:
            # The results do not say where their questions came from, or that is gone.
            material = None
        return page | from_answers(evidence, beta, out, partial(licence_of, hub), material)


def licence_of(hub: Hub, repo: str) -> str:
    """The licence of a data set that everybody may read; `unknown` for others, or where none is stated.

    Whoever builds a site may read more: no licence makes that public.
    """
    at = hub.at_commit(repo, "main", "dataset")
    return UNKNOWN if at.private or at.gated else license_of(at.front_matter)


def may_be_shown(licence: str) -> bool:
    """Whether a page that names a licence may show what is under it."""
    known = table()
    found = known.licences.get(known.aliases.get(licence, licence))
    return found is not None and MAY_BE_SHOWN.issuperset(found.asks)


def _languages(evidence: Evidence, beta: float) -> Iterator[Json]:
    """Scores of each language on test, of the base and at the beta, over the tasks that decide."""
    scores: dict[str, dict[float, list[Outcomes]]] = {}
    for at in (0.0, beta):
        for name, outcomes in evidence.tasks_at(at, TEST).items():
            record = evidence.header.tasks[name]
            if record.side == "safety":
                continue
            asked = outcomes.by(QUESTIONS)
            parts = parts_of(asked, "languages")
            if not parts and record.language != UNKNOWN:
                parts = {record.language: asked}
            for language, part in parts.items():
                scores.setdefault(f"{language}\0{record.scale}", {}).setdefault(at, []).append(part)
    for key, found in sorted(scores.items()):
        language, scale = key.split("\0")
        try:
            base, score = (mean(found[at]) for at in (0.0, beta))
            over = mean_difference(found[beta], found[0.0])
        except (KeyError, NotComparable):
            continue
        yield {
            "id": language,
            "name": f"{language} ({scale})",
            "beta": beta,
            "score": score.value,
            "se": score.se,
            "base": base.value,
            "base_se": base.se,
            "n": sum(map(len, found[beta])),
            **figure(over),
        }


def _samples(
    evidence: Evidence, beta: float, out: Path, licence_of: LicenceOf, material: Material
) -> Iterator[Json]:
    tasks = evidence.header.tasks
    licences = {
        name: licence_of(record.dataset)
        for name, record in tasks.items()
        if record.side == "regional" and record.dataset != UNKNOWN
    }
    shown = {name: licence for name, licence in licences.items() if may_be_shown(licence)}
    if not shown:
        return
    for example in examples(
        evidence, 0.0, beta, None, lambda name: material(name) if name in shown else {}
    ):
        task = example["task"]
        if task in shown:
            yield {
                "text": f"{task}, {tasks[task].dataset}",
                "picture": _written(example["item"]["picture"], out),
                "prompt": example["item"]["text"],
                "base_answer": _said(example["base"]),
                "merged_answer": _said(example["merged"]),
                "license": shown[task],
            }


def _said(answer: dict[str, Any] | None) -> str | None:
    return None if answer is None else answer["text"] or answer["id"]


def _written(address: str | None, out: Path) -> str | None:
    """A picture given as a data: address, as a file of the site; None for anything else."""
    kind, _, data = (address or "").removeprefix("data:").partition(";base64,")
    if kind not in KINDS:
        return None
    content = base64.b64decode(data)
    path = f"pictures/{hashlib.sha256(content).hexdigest()}.{KINDS[kind]}"
    (out / path).parent.mkdir(exist_ok=True)
    (out / path).write_bytes(content)
    return path
