"""The drawing tasks of the demo, asked of a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ggez_hub.evaluation.prepared import Prepared
from ggez_hub.evaluation.recognition.asking import Judges, Places, prepare_drawings
from ggez_hub.evaluation.subjects.opening import painter_way
from ggez_hub.evaluation.task import SplitName
from ggez_hub.families import get_family
from ggez_hub.regions import Region
from ggez_hub.world.asking import Asking
from ggez_hub.world.diffusion.judging import tasks
from ggez_hub.world.place import Lies


def _prepare(
    lies: Lies, region: Region, splits: Sequence[SplitName]
) -> tuple[Mapping[str, str], tuple[Prepared, ...]]:
    """Every prompt with its seeds; all tasks have the same judge, and there is one region."""
    asked, judges = tasks(), Judges()
    judge = asked[0].judge
    places = Places(
        prompts=lies(asked[0].dataset.repo),
        judge=lies(judge.model),
        references=lies(judge.references.dataset.repo),
    )
    return (
        {task.id: task.title for task in asked},
        tuple(prepare_drawings(task, places, judges, splits) for task in asked),
    )


ask = Asking(_prepare, lambda scratch: painter_way(get_family("diffusion"), None, scratch))
