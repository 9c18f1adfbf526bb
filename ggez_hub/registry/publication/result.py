"""A pulled result to a repository of its own: weights, card and lock in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ggez_hub.cards.curve import CurveRow, MeasuredCurve
from ggez_hub.cards.hub_metadata import EVAL_RESULTS_FILE, leaderboard_entries
from ggez_hub.evaluation.benchmarks.benchmark import known_datasets
from ggez_hub.evaluation.report.trade_off import PICTURE, curve_picture
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import (
    Content,
    commit,
    ensure_repo,
    gate,
    head_of,
    require_token,
    tag_version,
)
from ggez_hub.hub.pull_requests import Proposal, propose
from ggez_hub.registry.constants import LOCK_NAME
from ggez_hub.registry.licences import Obligations, may_push
from ggez_hub.registry.lock import LockMismatch, differences
from ggez_hub.registry.pull.plan import PullPlan
from ggez_hub.registry.pull.pull import Pulled
from ggez_hub.registry.pull.result_card import claimed_rows
from ggez_hub.registry.result_forms import get_form


@dataclass(frozen=True)
class PublishedResult:
    """Where a result went, which files were new there, and its version tag.

    `proposal` where it is a pull request, which has no tag.
    """

    repo: str
    revision: str
    changed: tuple[str, ...]
    tag: str | None
    proposal: Proposal | None = None


def push(
    pulled: Pulled,
    asked: Obligations,
    hub: Hub,
    repo: str,
    *,
    beside: Mapping[str, Content] | None = None,
    private: bool = False,
    pr: bool = False,
) -> PublishedResult:
    """Publish a pulled folder; repeated, it sends nothing that is there already.

    `beside` are files that go with it, as its scores and their evidence. With `pr` a pull request is
    opened instead, or brought up to date, and nothing is tagged.

    The folder has to be what its lock says. A result of gated inputs is gated. Raises MayNotPush
    where the licences do not allow it, Differs, NoToken, Refused, and what the client raises.
    """
    require_token(hub)
    require_passing_on(pulled.lock.resolution.form, asked)
    if found := differences(pulled.lock, pulled.folder, digests=True):
        raise LockMismatch(
            f"{pulled.folder} is not what its lock says:\\n  " + "\\n  ".join(found),
            "Pull it again into another folder.",
        )
    model = pulled.model
    files: dict[str, Content] = dict(beside or {})
    files |= {p.relative_to(model).as_posix(): p for p in _files(model)}
    files[LOCK_NAME] = pulled.folder / LOCK_NAME
    resolution = pulled.lock.resolution
    message = f"Publish the {resolution.region} {resolution.form} model"
    if pr:
        proposal = propose(hub, repo, files, message, "By `ggez-hub pull --push`.")
        return PublishedResult(repo, head_of(hub, repo).revision, (), None, proposal)
    ensure_repo(hub, repo, private=private)
    if any(pinned.gated for pinned in resolution.inputs):
        # Before the weights: nobody reads them in between.
        gate(hub, repo)
    done = commit(hub, repo, files, message)
    tag = tag_version(hub, repo, done.revision)
    return PublishedResult(repo, done.revision, done.changed, tag)


def require_passing_on(form: str, asked: Obligations) -> None:
    """Raise MayNotPush unless the licences of the weights in a result of `form` allow it.

    An adapter form holds nothing of the base.
    """
    holds_base = "base" in get_form(form).parts
    terms = tuple(term for term in asked.terms if holds_base or term.role != "base")
    may_push(replace(asked, terms=terms))


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


EVIDENCE = "evidence/"


def scores_beside(planned: PullPlan, hub: Hub) -> dict[str, Content]:
    """`.eval_results/`, the files with the answers that the scores were computed from, and a picture.

    The picture is of the curve that they are a part of. The answers are those of the adapter's repository at its pinned commit whose sha256 the card
    names. Empty where nothing of the result was measured. Raises what the client raises.
    """
    resolution = planned.resolution
    rows = claimed_rows(resolution, planned.documents, planned.table)
    if not rows:
        return {}
    weight = resolution.adapters[0].weight
    notes = "ggez-hub" if weight is None else f"ggez-hub, beta {weight:g}"
    measured = planned.documents[0].card.measured
    drawn = picture(measured, resolution.alpha.value, resolution.region, weight)
    return entries(rows, notes) | drawn | _answers(rows, planned, hub)


def picture(
    measured: MeasuredCurve | None, alpha: float, region: str, beta: float | None
) -> dict[str, Content]:
    """The picture of a curve, where it shows a trade-off."""
    drawn = curve_picture(measured, alpha, region, beta)
    return {} if drawn is None else {PICTURE: drawn}


def entries(rows: Mapping[str, CurveRow], notes: str) -> dict[str, Content]:
    """The file in `.eval_results/`; none where no task's data set is known."""
    found = leaderboard_entries(rows, known_datasets(rows), notes)
    return {EVAL_RESULTS_FILE: yaml.safe_dump(found, sort_keys=False).encode()} if found else {}


def _answers(rows: Mapping[str, CurveRow], planned: PullPlan, hub: Hub) -> dict[str, Content]:
    source = planned.resolution.adapters[0].source
    wanted = {row.predictions for row in rows.values()}
    listed = hub.at_commit(source.repo, source.revision).files
    files = [f for f in listed if f.path.startswith(EVIDENCE) and f.sha256 in wanted]
    if not files:
        return {}
    folder = hub.fetch(source.repo, source.revision, files)
    return {file.path: folder / file.path for file in files}
