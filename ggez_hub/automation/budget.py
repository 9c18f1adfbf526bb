""".github/budget.yaml: what the registry may spend, and where its work is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from ggez_hub.cards.values import Account, RepoId
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.recipe_file import read_recipe

GIGABYTE = 1_000_000_000
PLACE = Path(".github") / "budget.yaml"


class Speed(FrozenModel, strict=False):
    """Gigabytes of weights times answers in a second, at least and at most, and how that is known.

    `measured` is false where it is arithmetic on published figures of the machine.
    """

    least: float = Field(gt=0)
    most: float = Field(gt=0)
    measured: bool = True
    source: str = Field(min_length=10)


class Budget(FrozenModel, strict=False):
    """The keys of .github/budget.yaml.

    monthly_usd  what HF Jobs of ours may cost in a month (UTC)
    hours        after which a job is stopped
    namespace    who pays
    image        in which jobs run: Python and git
    machines     family -> the machine on which it is measured
    results      the data set to which jobs deliver
    runner_gb    the largest base, with its adapter, that a runner of GitHub takes; what is larger
                 goes to HF Jobs
    largest_gb   the largest base, and the largest adapter, that is measured at all
    merged_gb    merged weights are published below it, or on request; else the adapter form
    speeds       machine -> family -> how fast it measures; of others hours are not known
    """

    kind: Literal["budget"]
    monthly_usd: float = Field(ge=0)
    hours: float = Field(gt=0, le=48)
    namespace: Account
    image: str = Field(
        pattern=r"^([a-z0-9.-]+:[0-9]+/)?[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?$"
    )
    machines: Mapping[str, str]
    results: RepoId
    runner_gb: float = Field(default=5, ge=0)
    largest_gb: float = Field(default=80, ge=0)
    merged_gb: float = Field(default=10, ge=0)
    speeds: Mapping[str, Mapping[str, Speed]] = Field(default_factory=dict)

    def speed(self, machine: str, family: str) -> Speed | None:
        """How fast a machine measures models of a family; None where nothing is known."""
        return self.speeds.get(machine, {}).get(family)

    def on_runner(self, nbytes: int) -> bool:
        """Whether a base and its adapter of so many bytes are measured and merged on a runner."""
        return nbytes <= self.runner_gb * GIGABYTE


def read_budget(repository: Path) -> Budget:
    """The budget of the registry in `repository`; raises BadRecipe."""
    return read_recipe(repository / PLACE, "budget", Budget)


def shipped_budget() -> Budget:
    """The budget of the registry that this program was made with, for its speeds of machines."""
    installed = Path(__file__).with_name(PLACE.name)
    checkout = Path(__file__).parents[2] / PLACE
    return read_recipe(installed if installed.is_file() else checkout, "budget", Budget)
