"""An evaluation on HF Jobs: the registry's own program at a commit, with the contribution as data."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.cost import Cost
from ggez_hub.automation.decide import Order
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import jobs

# Its token reads the bases and writes the results, and nothing else: the one that starts the job
# never enters it.
TOKEN = "GGEZ_JOB_TOKEN"  # noqa: S105 - the name of a variable

# Everything that differs is in the environment: no text of a stranger becomes a part of it.
SCRIPT = """\
set -euo pipefail
git clone --quiet "$GGEZ_SOURCE" registry
cd registry
git checkout --quiet --detach "$GGEZ_PROGRAM"
python -m pip install --quiet --constraint constraints.txt '.[eval]'
status=0
ggez-hub ci evaluate --number "$GGEZ_NUMBER" --base "$GGEZ_BASE" --head "$GGEZ_HEAD" \\
  --deliver "$GGEZ_RESULTS" -o evaluation --keep kept || status=$?
# A gate that is not passed (3) is an answer.
test "$status" = 0 -o "$status" = 3
"""


def job_order(wanted: Order, costs: Sequence[Cost], program: str, budget: Budget) -> jobs.Order:
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
    return jobs.Order(
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
