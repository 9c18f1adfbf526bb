"""A pulled result to a repository of its own: weights, card, lock and scores in one commit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import yaml

from ggez_hub.cards.curve import CurveRow, MeasuredCurve
from ggez_hub.cards.hub_metadata import EVAL_RESULTS_FILE, leaderboard_entries
from ggez_hub.contained_files import files_below
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.datasets import known_datasets
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
from ggez_hub.registry.bill_of_materials.bill import BILL_FILE, bill_text, lock_bill
from ggez_hub.registry.constants import LOCK_NAME
from ggez_hub.registry.licences import Obligations, may_push
from ggez_hub.registry.lock import differences
from ggez_hub.registry.pull.plan import PullPlan
from ggez_hub.registry.pull.pull import Pulled
from ggez_hub.registry.pull.result_card import claimed_rows
from ggez_hub.registry.result_forms import get_form
from ggez_hub.registry.trust.own_key import own_signing_key
from ggez_hub.registry.trust.signing import SigningKey, with_signature


@dataclass(frozen=True)
class Published:
    """What was sent to a repository; a pull request, `proposal`, has no tag."""

    repo: str
    revision: str
    changed: tuple[str, ...]
    tag: str | None = None
    proposal: Proposal | None = None


def deliver(
    hub: Hub,
    repo: str,
    files: Mapping[str, Content],
    message: str,
    description: str,
    *,
    private: bool,
    pr: bool,
    gated: bool = False,
    outdated: Callable[[], Collection[str]] = tuple,
    by: SigningKey | None = None,
) -> Published:
    """Send files to a repository by one commit; repeated, nothing is sent that is there already.

    `outdated` are files to remove, once the repository exists. A version tag (v1, v2, ...) is added
    where the content is new. With `pr` a pull request with the description is opened or updated
    instead, and nothing is tagged. `by` signs the files; where it is None, an embedded hub's own key does.
    """
    by = by or own_signing_key(hub)
    if pr:
        files = with_signature(files, by, hub, head_of(hub, repo))
        proposal = propose(hub, repo, files, message, description)
        return Published(repo, head_of(hub, repo).revision, (), proposal=proposal)
    ensure_repo(hub, repo, private=private)
    if gated:
        # Before the weights: nobody reads them in between.
        gate(hub, repo)
    files = with_signature(files, by, hub, head_of(hub, repo))
    done = commit(hub, repo, files, message, remove=outdated())
    return Published(repo, done.revision, done.changed, tag_version(hub, repo, done.revision))


def push(
    pulled: Pulled,
    asked: Obligations,
    hub: Hub,
    repo: str,
    *,
    beside: Mapping[str, Content] | None = None,
    private: bool = False,
    pr: bool = False,
    by: SigningKey | None = None,
) -> Published:
    """Publish a pulled folder with the files `beside` it, as `deliver` does.

    A result of gated inputs is gated. Raises MayNotPush where the licences do not allow it,
    GgezError where the folder is not what its lock says, NoToken, CommitRefused, and what the client
    raises.
    """
    require_token(hub)
    resolution, model = pulled.lock.resolution, pulled.model
    require_passing_on(resolution.form, asked)
    if found := differences(pulled.lock, pulled.folder):
        raise GgezError(
            f"{pulled.folder} is not what its lock says:\n  " + "\n  ".join(found),
            "Pull it again into another folder.",
        )
    return deliver(
        hub,
        repo,
        {
            **(beside or {}),
            **files_below(model),
            LOCK_NAME: pulled.lock_file,
        },
        f"Publish the {resolution.region} {resolution.form} model",
        "By `ggez-hub pull --push`.",
        private=private,
        pr=pr,
        gated=resolution.gated,
        by=by,
    )


def require_passing_on(form: str, asked: Obligations) -> None:
    """Raise MayNotPush unless the licences of the weights in a result of `form` allow it.

    An adapter form holds nothing of the base.
    """
    holds_base = "base" in get_form(form).parts
    terms = tuple(term for term in asked.terms if holds_base or term.role != "base")
    may_push(replace(asked, terms=terms))


def bill_beside(pulled: Pulled, planned: PullPlan, hub: Hub, repo: str) -> dict[str, Content]:
    """The bill of materials of a result that goes to `repo`."""
    bill = lock_bill(pulled.lock, planned.documents, repo, hub.endpoint)
    return {BILL_FILE: bill_text(bill).encode()}


def scores_beside(planned: PullPlan, hub: Hub) -> dict[str, Content]:
    """`score_files` of a result, and the answers that the scores were computed from.

    The answers are those of the adapter's repository at its pinned commit whose sha256 the card
    has. Empty where nothing of the result was measured. Raises what the client raises.
    """
    resolution = planned.resolution
    rows = claimed_rows(planned)
    if not rows:
        return {}
    adapter = resolution.adapters[0]
    notes = "ggez-hub" if adapter.weight is None else f"ggez-hub, beta {adapter.weight:g}"
    measured = planned.documents[0].card.measured
    found = score_files(
        rows, notes, measured, resolution.alpha.value, resolution.region, adapter.weight
    )
    source, wanted = adapter.source, {row.predictions for row in rows.values()}
    listed = hub.at_commit(source.repo, source.revision).files
    files = [f for f in listed if f.path.startswith("evidence/") and f.sha256 in wanted]
    if files:
        folder = hub.fetch(source.repo, source.revision, files)
        found |= {file.path: folder / file.path for file in files}
    return found


def score_files(
    rows: Mapping[str, CurveRow],
    notes: str,
    measured: MeasuredCurve | None,
    alpha: float,
    region: str,
    beta: float | None,
) -> dict[str, Content]:
    """The file in `.eval_results/`, where a data set is known, and the picture of a trade-off."""
    files: dict[str, Content] = {}
    if drawn := curve_picture(measured, alpha, region, beta):
        files[PICTURE] = drawn
    if found := leaderboard_entries(rows, known_datasets(rows), notes):
        files[EVAL_RESULTS_FILE] = yaml.safe_dump(found, sort_keys=False).encode()
    return files
