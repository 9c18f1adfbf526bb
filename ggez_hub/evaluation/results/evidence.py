"""The evidence of a claim: a card or a results folder together with its predictions.

A card is the README.md of an adapter whose rows name the sha256 of their predictions file, which
is below the card's folder. A results folder holds `results.json` and its predictions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ggez_hub.cards import AdapterCard, CardDocument, CurveRow, read_card
from ggez_hub.cards.curve import Rows
from ggez_hub.cards.measurements import JointCurve, SeedRun
from ggez_hub.cards.values import UNKNOWN, Unknown
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Answers, Cell, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.predictions import parse_predictions
from ggez_hub.evaluation.benchmarks.task import Task
from ggez_hub.evaluation.people.card_rows import COPY as PEOPLE
from ggez_hub.evaluation.results.header import (
    BASELINE_NAMES,
    AdapterRecord,
    BaselineName,
    BaselineRecord,
    Header,
)
from ggez_hub.parity.betas import Beta, base_like, betas_of, read_key
from ggez_hub.parity.card_rows import task_of
from ggez_hub.text_files import MAX_BYTES, read_text
from ggez_hub.validation_errors import listed

CARD = "README.md"
RESULTS = "results.json"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Predictions, and what has to be known to make scores of them.

    recorded  the figures of results.json; None for a card
    document  the card; None for a results folder
    claims    of a card, the answers of its author on splits that the registry has measured as well:
              nothing is decided by them
    joint     of a card, its joint curves with the answers that they rest on
    baselines what was measured beside the grid, by its name; each is one model
    seeds     of a card, its other seeds with the answers that they rest on, where those are known
    problems  what is wrong with the files themselves

    The outcomes average as the header says of their tasks.
    """

    place: Path
    header: Header
    outcomes: Answers
    recorded: dict[str, Any] | None = None
    document: CardDocument | None = None
    claims: Answers = field(default_factory=dict)
    joint: tuple[tuple[JointCurve, Answers], ...] = ()
    baselines: Mapping[BaselineName, Answers] = field(default_factory=dict)
    seeds: tuple[tuple[SeedRun, Answers], ...] = ()
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        tasks = self.header.tasks
        averaged = {
            cell: outcomes.by(tasks[cell.task].average) if cell.task in tasks else outcomes
            for cell, outcomes in self.outcomes.items()
        }
        object.__setattr__(self, "outcomes", averaged)

    def tasks_at(self, beta: Beta, split: str) -> dict[str, Outcomes]:
        """The outcomes of every task at one beta and split that was asked."""
        return {
            cell.task: outcomes
            for cell, outcomes in self.outcomes.items()
            if cell.beta == beta and cell.split == split and len(outcomes)
        }

    def with_tasks(self, tasks: Iterable[Task]) -> Evidence:
        """The same, knowing the data set and language of its tasks: a card does not say them."""
        known = {task.id: task for task in tasks}
        records = {
            name: record.model_copy(
                update={"dataset": known[name].dataset.repo, "language": known[name].language}
            )
            if name in known
            else record
            for name, record in self.header.tasks.items()
        }
        return replace(self, header=self.header.model_copy(update={"tasks": records}))

    @property
    def base(self) -> Beta:
        """The point of the base, measured or not."""
        return base_like(next((cell.beta for cell in self.outcomes), 0.0))

    def betas(self, split: str) -> tuple[Beta, ...]:
        """The points of the grid that were measured on a split, the smallest first."""
        return tuple(sorted({cell.beta for cell in self.outcomes if cell.split == split}))


def open_evidence(path: Path) -> Evidence:
    """A results folder, a card, or a folder with one.

    Raises GgezError where there are no predictions or they cannot be read, and BadCard.
    """
    folder = path if path.is_dir() else path.parent
    if path.name == RESULTS or (path.is_dir() and (path / RESULTS).is_file()):
        return _open_results(folder)
    card = path / CARD if path.is_dir() else path
    if not card.is_file():
        raise GgezError(
            f"{path} holds neither {RESULTS} nor a card ({CARD})",
            "Give a results folder, an adapter's folder, or its card.",
        )
    return _open_card(card)


def read_header(folder: Path) -> Header:
    """What decides the figures of a results folder; raises GgezError. No answers are read."""
    return _read_results(folder)[0]


def _read_results(folder: Path) -> tuple[Header, dict[str, Any]]:
    """The header of a results folder, and the figures beside it; raises GgezError."""
    try:
        content = json.loads(read_text(folder / RESULTS, MAX_BYTES))
        # Through JSON again: it knows no tuples, and the strict schema no lists in their place.
        return Header.model_validate_json(json.dumps(content.pop("header"))), content
    except ValidationError as error:
        raise GgezError(
            f"the header of {folder / RESULTS} is not valid:\n{listed(error)}"
        ) from error
    except KeyError as error:
        raise GgezError(f"{folder / RESULTS} has no header") from error
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise GgezError(f"{folder / RESULTS} cannot be read: {error}") from error


def _open_results(folder: Path) -> Evidence:
    header, content = _read_results(folder)
    files = {header.predictions: header.sha256}
    files |= {record.predictions: record.sha256 for record in header.baselines.values()}
    problems = []
    answers: dict[str, Answers] = {}
    for name, sha256 in files.items():
        place = folder / name
        if place.is_file():
            found = sha256_file(place)
            problems += [] if found == sha256 else [_other_file(place, found, sha256)]
            answers[name] = parse_predictions(place)
        elif name == header.predictions:
            raise GgezError(
                f"{place} is missing", "It holds the answers that the scores are made of."
            )
        else:
            problems.append(f"{name} is missing, which holds the answers of a baseline")
    return Evidence(
        folder,
        header,
        answers[header.predictions],
        content,
        baselines={
            name: answers[record.predictions]
            for name, record in header.baselines.items()
            if record.predictions in answers
        },
        problems=tuple(problems),
    )


def _open_card(path: Path) -> Evidence:
    document = read_card(path)
    card = document.card
    if card.curve == UNKNOWN:
        # A pulled folder's card lies in a folder that is gone when this is read.
        whose = f"the card of {card.adapter.repo}" if card.adapter else str(path)
        raise GgezError(
            f"{whose} holds no curve",
            "Scores come from `ggez-hub sweep`; `ggez-hub card measure RESULTS CARD` puts them on a card.",
        )
    curves: list[Rows] = [card.curve, *(joint.curve for joint in card.joint)]
    named = [
        {row.predictions for rows in curve.values() for row in rows.values()} - {UNKNOWN}
        for curve in curves
    ]
    header = _header_of(card, card.curve, min(named[0], default="0" * 64))
    beside = {name: record.sha256 for name, record in header.baselines.items()}
    wanted = set().union(beside.values(), (run.predictions for run in card.seeds), *named)
    found, problems = _read_files(path.parent, sorted(wanted - {UNKNOWN}))
    answers = [
        _answers_to(curve, {digest: found[digest] for digest in sorted(names & found.keys())})
        for curve, names in zip(curves, named, strict=True)
    ]
    if not answers[0]:
        raise GgezError(
            f"{path}: there are no predictions beside the card",
            "Download the complete repository of the adapter: its evidence folder holds them.",
        )
    claims = {cell: answers[0].pop(cell) for cell in _claimed(card.curve) & answers[0].keys()}
    return Evidence(
        path.parent,
        header,
        answers[0],
        document=document,
        claims=claims,
        joint=tuple(zip(card.joint, answers[1:], strict=True)),
        baselines={name: found[sha256] for name, sha256 in beside.items() if sha256 in found},
        seeds=tuple(
            (run, found[run.predictions]) for run in card.seeds if run.predictions in found
        ),
        problems=tuple(problems),
    )


def _read_files(folder: Path, wanted: Sequence[str]) -> tuple[dict[str, Answers], list[str]]:
    """The answers in the files with these sha256s below a folder, and what is wrong with the files."""
    places = (file for file in folder.rglob("*.parquet") if not file.name.startswith(PEOPLE))
    files = {sha256_file(file): file for file in sorted(places)}
    found: dict[str, Answers] = {}
    problems = []
    # A file that no row names may be one that was changed since: its answers are looked at too.
    strangers = [file for digest, file in files.items() if digest not in wanted]
    for digest in wanted:
        file = files.get(digest)
        if file is None and strangers:
            file = strangers.pop(0)
            problems.append(_other_file(file, sha256_file(file), digest))
        if file is None:
            problems.append(f"no file here has the sha256 {digest[:16]}… that the card names")
        else:
            found[digest] = parse_predictions(file)
    return found, problems


def _answers_to(curve: Rows, files: Mapping[str, Answers]) -> dict[Cell, Outcomes]:
    """The answers, by as many adapters as the curve is of, of the files that its rows name."""
    rows = _by_cell(curve)
    count = len(betas_of(read_key(next(iter(curve), "0"))))
    return {
        cell: outcomes
        for digest, file in files.items()
        for cell, outcomes in file.items()
        if len(betas_of(cell.beta)) == count
        and (cell not in rows or rows[cell].predictions in (digest, UNKNOWN))
    }


def _claimed(curve: Rows) -> set[Cell]:
    """The cells that the author measured, on splits that the registry has measured as well."""
    rows = _by_cell(curve)
    splits = {row.split for row in rows.values() if row.measured_by == "registry"}
    return {cell for cell, row in rows.items() if row.measured_by == "self" and row.split in splits}


def _by_cell(curve: Rows) -> dict[Cell, CurveRow]:
    return {
        Cell(read_key(beta), task_of(key), row.split): row
        for beta, rows in curve.items()
        for key, row in rows.items()
    }


def _header_of(card: AdapterCard, curve: Rows, sha256: str) -> Header:
    tasks: dict[str, TaskRecord] = {}
    for rows in curve.values():
        for key, row in rows.items():
            known = tasks.get(name := task_of(key))
            tasks[name] = TaskRecord(
                metric=row.metric,
                judge=row.judge,
                side=row.side,
                average=row.average,
                runs=row.runs,
                regions=sorted(row.by_country),
                digests={**(known.digests if known else {}), row.split: row.task},
            )
    adapters = []
    if card.files != UNKNOWN:
        # A repository's own card does not say where it is.
        name = card.adapter.repo if card.adapter else UNKNOWN
        files = {path: file.sha256 for path, file in card.files.items()}
        adapters = [AdapterRecord.of(name, files, card)]
    return Header(
        region=card.region,
        alpha=card.alpha,
        policy=card.policy,
        tasks=tasks,
        data=data_of(card),
        held_out=held_out_of(card),
        measured_by="self",
        adapters=adapters,
        # The card does not name the models of baselines.
        baselines={
            name: BaselineRecord(predictions=f"{name}.parquet", sha256=entry.predictions)
            for name in BASELINE_NAMES
            if (entry := getattr(card.baselines, name, None)) is not None
        },
        closed=card.closed,
        sha256=sha256,
    )


def data_of(card: AdapterCard) -> list[str] | Unknown:
    """The data sets that a card says were trained on."""
    sources = UNKNOWN if card.data_filter == UNKNOWN else card.data_filter.sources
    return UNKNOWN if sources == UNKNOWN else [source.repo for source in sources]


def held_out_of(card: AdapterCard) -> list[str]:
    """The data sets of which, as a card says, nothing was trained on."""
    if card.data_filter == UNKNOWN:
        return []
    return [source.repo for source in card.data_filter.held_out]


def _other_file(place: Path, found: str, wanted: str) -> str:
    return f"{place.name} has the sha256 {found[:16]}…, recorded is {wanted[:16]}…: it was changed"
