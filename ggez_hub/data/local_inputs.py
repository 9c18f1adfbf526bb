"""What a spec names by paths beside its sources: other machines get it with the tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from ggez_hub.data.scorer_agreement import read_agreement
from ggez_hub.data.scorers.spec import LocalModel, refuse_base
from ggez_hub.data.spec import FilterSpec, GazetteerRule
from ggez_hub.frozen_model import FrozenModel

Part = TypeVar("Part", bound=FrozenModel)


def with_absolute_paths(spec: FilterSpec, folder: Path) -> tuple[FilterSpec, tuple[Path, ...]]:
    """The spec with absolute paths of the models, lists of places and agreement that are here; these paths.

    Raises what only this machine can see: UsageProblem for a scorer that is the base under training,
    GgezError for an agreement that cannot be read.
    """
    found: dict[Path, None] = {}

    def placed(name: str) -> str:
        place = Path(os.path.abspath(folder / name))  # noqa: PTH100 - links stay as they are
        found[place] = None
        return str(place)

    def with_paths(part: Part) -> Part:
        if isinstance(part, LocalModel) and (folder / part.model).is_dir():
            return part.model_copy(update={"model": placed(part.model)})
        if isinstance(part, GazetteerRule) and part.places:
            return part.model_copy(update={"places": placed(part.places)})
        return part

    rules = [with_paths(rule) for rule in spec.keep_region.rules]
    now: dict[str, object] = {
        "keep_region": spec.keep_region.model_copy(update={"rules": rules}),
    }
    if spec.reward != "none":
        refuse_base(spec.reward.scorer, folder, spec.base)
        reward: dict[str, object] = {"scorer": with_paths(spec.reward.scorer)}
        if spec.reward.agreement:
            read_agreement(folder / spec.reward.agreement)
            reward["agreement"] = placed(spec.reward.agreement)
        now["reward"] = spec.reward.model_copy(update=reward)
    if spec.translation != "none":
        translator = with_paths(spec.translation.translator)
        now["translation"] = spec.translation.model_copy(update={"translator": translator})
    return spec.model_copy(update=now), tuple(found)
