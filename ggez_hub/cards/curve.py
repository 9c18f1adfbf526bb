"""The curve of a card: scores of base + beta * Delta, by beta and task, and how they vary together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.cards.values import BetaKey, OrWord, PointKey, RegionId, Score, Sha256, Text, Unknown
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.quantities import counted

Split: TypeAlias = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("validation", "test")


class CountryScore(FrozenModel):
    """A score on the items of one country or group."""

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)


class CurveRow(FrozenModel):
    """A score of base + beta * Delta on one task; `floor` is the score of guessing.

    `judge` is the model or the people that decided, where the metric alone does not: another judge
    is another scale. `average` is what the score is the mean over: the task decides it; over the right
    answers it is balanced accuracy. `runs` is how many runs of the model each answer is the mean of.
    """

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)
    floor: Score
    ceiling: Score = 100.0
    metric: Text
    judge: Text = "none"
    split: Split
    side: Literal["global", "others", "regional", "safety"]
    average: Literal["questions", "countries", "languages", "categories", "answers"] = "questions"
    runs: int = Field(default=1, ge=1)
    by_country: dict[RegionId, CountryScore] = Field({})
    measured_by: Literal["self", "registry"]
    evaluator: Text
    model: Sha256
    task: Sha256
    predictions: Sha256 | Unknown

    @property
    def scale(self) -> str:
        """What may be averaged and ranked together: one metric, of one judge."""
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


class SideScores(FrozenModel):
    """The scores of one side at each beta, in the order of `SplitParity.betas`.

    score         as scored, the mean over tasks
    se            its standard error, clustered by picture
    above_chance  corrected for chance: 0 at chance, 100 at the ceiling
    floor         the score of guessing, the mean over tasks
    pictures      different pictures that the side asks about
    """

    score: list[Score]
    se: list[Annotated[float, Field(ge=0)]]
    above_chance: list[Annotated[float, Field(le=100)]]
    floor: Score
    pictures: int = Field(ge=2)


OthersWord: TypeAlias = Literal["q_global", "none"]
# A row of the lower triangle of a matrix: numbers, separated by blanks.
NumberRow: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[-+.0-9e]+( [-+.0-9e]+)*$", max_length=100_000)
]


class SplitParity(FrozenModel):
    """The sides of parity on one split, over the tasks that decide, and how their scores covary.

    `q_others` is of the items of the global side outside the region: "none" where there are none,
    "q_global" where no item is inside. `covariance` is of the scores above chance, clustered by
    picture: the lower triangle, row by row, of q_global at each beta, q_others at each beta (where it
    has numbers of its own), then q_regional at each beta. `regional_at_chance`: no regional task is above
    chance at any beta. `changed` is for each of these sides, and each
    beta but the first, the effective number of pictures whose score differs from each smaller beta.
    """

    scale: Text
    tasks: list[Text] = Field(min_length=1)
    measured_by: Literal["self", "registry"]
    betas: list[PointKey] = Field(min_length=1)
    q_global: SideScores
    q_others: OrWord[SideScores, OthersWord]
    q_regional: SideScores
    regional_at_chance: bool = False
    covariance: list[NumberRow]
    changed: list[list[NumberRow]]

    @property
    def stored_sides(self) -> tuple[SideScores, ...]:
        """The sides that have numbers of their own, in the order of `covariance`."""
        others = (self.q_others,) if isinstance(self.q_others, SideScores) else ()
        return (self.q_global, *others, self.q_regional)

    @model_validator(mode="after")
    def _sizes_agree(self) -> SplitParity:
        count = len(self.betas)
        if len(set(self.betas)) < count:
            raise ValueError("`betas` names a beta twice")
        plain = [float(key) for key in self.betas if "+" not in key]
        if plain != sorted(plain):
            raise ValueError("`betas` have to ascend")
        for side in self.stored_sides:
            for numbers in (side.score, side.se, side.above_chance):
                if len(numbers) != count:
                    raise ValueError(
                        f"a side has {counted(len(numbers), 'number')} for {counted(count, 'beta')}"
                    )
        size = len(self.stored_sides) * count
        if len(self.changed) != len(self.stored_sides):
            raise ValueError(
                f"`changed` has {len(self.changed)} of {counted(len(self.stored_sides), 'side')}"
            )
        _check_triangle("covariance", self.covariance, size)
        for rows in self.changed:
            _check_triangle("changed", rows, count - 1)
        return self


def _check_triangle(name: str, rows: list[str], size: int) -> None:
    if len(rows) != size:
        raise ValueError(f"`{name}` has {counted(len(rows), 'row')}; {size} are needed")
    for number, row in enumerate(rows, 1):
        values = [float(part) for part in row.split(" ")]
        if len(values) != number or not all(abs(v) < 1e9 for v in values):
            raise ValueError(f"row {number} of `{name}` needs {counted(number, 'finite number')}")


Curve: TypeAlias = dict[BetaKey, dict[Text, CurveRow]]
Rows: TypeAlias = Mapping[str, Mapping[str, CurveRow]]
# Of a card from before the errors were recorded jointly, sides and betas are taken as independent.
ParityRecord: TypeAlias = OrWord[dict[Split, SplitParity], Literal["independent"]]


@dataclass(frozen=True)
class MeasuredCurve:
    """Rows and the joint errors of their sides, measured for `region`.

    rows    beta key -> `<task id>/<split>` -> row
    parity  by split, empty where the answers give no errors; "independent" where nothing is known of
            what the errors share
    """

    rows: Rows
    parity: Mapping[Split, SplitParity] | Literal["independent"]
    region: str


def with_measured(old: MeasuredCurve | None, new: MeasuredCurve) -> MeasuredCurve:
    """A curve with `new` in place of what the same one, author or registry, measured before.

    The rows of the other one stay. Of the same beta, task and split the registry's row is taken.
    """
    if old is None:
        return new
    by = {row.measured_by for _, _, row in _entries(new)}
    kept = [entry for entry in _entries(old) if entry[2].measured_by not in by]
    # The registry's last: they take the place of claims.
    ordered = sorted(
        [*kept, *_entries(new)],
        key=lambda entry: (float(entry[0]), entry[2].measured_by == "registry"),
    )
    rows: dict[str, dict[str, CurveRow]] = {}
    for beta, key, row in ordered:
        rows.setdefault(beta, {})[key] = row
    by_registry = {row.split for _, _, row in ordered if row.measured_by == "registry"}
    parity: dict[Split, SplitParity] = {}
    for split in SPLITS:
        measured_by = "registry" if split in by_registry else "self"
        source = new if measured_by in by else old
        if source.parity != "independent" and split in source.parity:
            parity[split] = source.parity[split]
    unknown = old.parity == new.parity == "independent"
    return MeasuredCurve(rows, "independent" if unknown else parity, new.region)


def _entries(measured: MeasuredCurve) -> list[tuple[str, str, CurveRow]]:
    return [(beta, key, row) for beta, tasks in measured.rows.items() for key, row in tasks.items()]
