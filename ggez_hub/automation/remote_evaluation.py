"""An evaluation on HF Jobs: its order, and the measurements that it delivers to a data set.

They are stored there under the sha256 of the card that was measured, so a changed card has none. Every
figure that was fetched is recomputed here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub.errors import RepositoryNotFoundError

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.cost import Cost
from ggez_hub.automation.event import Order
from ggez_hub.automation.suite import RECIPE, closed_rule
from ggez_hub.cards import CardDocument, render_card
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.results.closed_part import CLOSED
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence
from ggez_hub.evaluation.results.header import BASELINE_NAMES, PREDICTIONS
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.hub import Hub, HubFile, RepoAtCommit, jobs
from ggez_hub.hub.commits import commit, ensure_repo, head_of

FILES = (RESULTS, PREDICTIONS)
# Of the baselines beside the grid, where some were measured.
BESIDE = tuple(f"{name}.parquet" for name in BASELINE_NAMES)


def evidence_in(folder: Path) -> tuple[str, ...]:
    """The files of a results folder that its figures rest on."""
    return (*FILES, *(name for name in BESIDE if (folder / name).is_file()))


def evidence_at(at: RepoAtCommit, place: str) -> dict[str, HubFile] | None:
    """The same in a folder of a repository, by name; None if it holds no results."""
    found = {n: file for n in (*FILES, *BESIDE) if (file := at.file(f"{place}/{n}"))}
    return found if found.keys() >= {*FILES} else None


def digest_of(document: CardDocument) -> str:
    """The sha256 of a card's text."""
    return hashlib.sha256(render_card(document).encode()).hexdigest()


def deliver(
    document: CardDocument, folder: Path, hub: Hub, repo: str, keep: Path | None = None
) -> str:
    """Send the results folder of a card to the data set; returns the folder in it.

    The closed answers that `keep` holds go to a private data set of the name with `-closed`.
    Repeated, nothing is sent.
    """
    place = digest_of(document)
    ensure_repo(hub, repo, private=False, repo_type="dataset")
    files = {f"{place}/{name}": folder / name for name in evidence_in(folder)}
    commit(hub, repo, files, f"Measure {place[:12]}", repo_type="dataset")
    if keep is not None and (keep / CLOSED).is_file():
        private = f"{repo}-closed"
        ensure_repo(hub, private, private=True, repo_type="dataset")
        files = {f"{place}/{CLOSED}": keep / CLOSED}
        commit(hub, private, files, f"Keep {place[:12]}", repo_type="dataset")
    return place


def fetch_delivery(document: CardDocument, hub: Hub, repo: str, folder: Path) -> bool:
    """Fetch what was measured of a card into `folder`; False if nothing was."""

    try:
        at = head_of(hub, repo, "dataset")
    except RepositoryNotFoundError:
        return False
    place = digest_of(document)
    found = evidence_at(at, place)
    if found is None:
        return False
    fetched = hub.fetch(repo, at.revision, list(found.values()), "dataset")
    folder.mkdir(parents=True, exist_ok=True)
    for name in found:
        shutil.copyfile(fetched / place / name, folder / name)
    return True


def recomputed(document: CardDocument, folder: Path, repository: Path) -> Evidence:
    """The fetched evidence in a folder, after every figure of it was recomputed.

    Raises GgezError if it is not a measurement of this card by this registry, and what reading raises.
    """
    card, found = document.card, verify_evidence(folder)
    header = found.evidence.header
    problems = list(found.problems)
    if header.measured_by != "registry" or not _was_main(header.evaluator, repository):
        problems.append(f"measured by {header.evaluator}, which never was this registry's program")
    problems += [
        f"measured for another {key} than the card's"
        for key in ("region", "alpha")
        if getattr(header, key) != getattr(card, key)
    ]
    if closed_rule() is not None and header.closed is None:
        problems.append(f"no part of the test side was closed, as recipes/{RECIPE} asks for")
    if problems:
        raise GgezError(
            f"the measurement of {digest_of(document)[:12]} is not accepted:\n  "
            + "\n  ".join(problems),
            "Remove it from the data set, and evaluate again.",
        )
    return found.evidence


def _was_main(commit_id: str, repository: Path) -> bool:
    """Whether a commit is on the default branch."""
    done = subprocess.run(
        ["git", "merge-base", "--is-ancestor", "--", commit_id, "HEAD"],  # noqa: S607
        cwd=repository,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


# The variable with the job's own token, which reads the bases and writes the results only: the token
# that starts the job never enters it.
TOKEN = "GGEZ_JOB_TOKEN"  # noqa: S105 - the name of a variable

# What differs is in the environment, so that no text of a stranger becomes a part of the script.
SCRIPT = """\
set -euo pipefail
git clone --quiet "$GGEZ_SOURCE" registry
cd registry
git checkout --quiet --detach "$GGEZ_PROGRAM"
python -m pip install --quiet --require-hashes -r .github/requirements/eval.txt
python -m pip install --quiet --no-deps --no-build-isolation .
status=0
ggez-hub ci evaluate --number "$GGEZ_NUMBER" --base "$GGEZ_BASE" --head "$GGEZ_HEAD" \\
  --deliver "$GGEZ_RESULTS" -o evaluation --keep kept || status=$?
# A gate that is not passed (3) is a result.
test "$status" = 0 -o "$status" = 3
"""


def job_order(
    wanted: Order, costs: Sequence[Cost], program: str, budget: Budget
) -> jobs.JobRequest:
    """The job that measures a contribution by the program at the commit `program`.

    Raises UsageProblem where its token is missing.
    """
    token = os.environ.get(TOKEN)
    if not token:
        raise UsageProblem(
            f"a job needs a token of its own, and {TOKEN} is not set",
            f"One that reads gated bases and writes {budget.results}, and nothing else.",
        )
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    machine = max((c for c in costs if c.where == "hf-jobs"), key=lambda c: c.usd_at_most or 0.0)
    return jobs.JobRequest(
        namespace=budget.namespace,
        key=f"{wanted.number}-{wanted.head[:12]}-{program[:12]}",
        image=budget.image,
        command=("bash", "-c", SCRIPT),
        machine=machine.machine,
        hours=budget.hours,
        env={
            "GGEZ_SOURCE": f"{server}/{os.environ.get('GITHUB_REPOSITORY', 'ggez-hub/ggez-hub')}",
            "GGEZ_PROGRAM": program,
            "GGEZ_NUMBER": str(wanted.number),
            "GGEZ_BASE": wanted.base,
            "GGEZ_HEAD": wanted.head,
            "GGEZ_RESULTS": budget.results,
        },
        secrets={"HF_TOKEN": token},
    )
