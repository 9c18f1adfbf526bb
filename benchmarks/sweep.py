"""A sweep over five betas, against five evaluations of one model, and against five merges to disk.

The demo world's base and Thai tasks on a few of their pictures; the adapter is a LoRA of rank 16 on both towers, so that no
beta can use the pictures or texts of another. The aim is 1.15 times the five evaluations. All run in
one process, in turn; only the ratios mean something.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import FamilyFolders
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask, prepare_tasks, tasks_for
from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
from ggez_hub.evaluation.models import grid_on, model_in
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.models.weight_swap import LiveWeights
from ggez_hub.evaluation.sweep.run import measure
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.regions import find_region

BETAS = (0.25, 0.5, 0.75, 1.0, 1.25)
AIM = 1.15
PAIRS = 3
PICTURES = 128


def main() -> None:
    """Both comparisons, and what moving the weights costs by itself."""
    place, family = FamilyFolders(ASSETS), get_family("embedding")
    asked = tasks_for(load_tasks(recipes_folder() / "demo", Task), find_region("th"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = prepare_tasks(asked, _few(asked, place.data, folder / "data"), ("validation",))
        model = StoredModel(place.base, (_lora(place.base, folder / "lora"),), family)

        def swept() -> None:
            measure(grid_on(model, BETAS), tasks)

        def evaluated() -> None:
            _answers(place.base, model, tasks, len(BETAS))

        def merged() -> None:
            for beta in BETAS:
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    place_of = Path(out) / "merged"
                    merge(model.base, [Adapter(model.adapters[0], beta)], place_of, family)
                    measure([model_in(place_of, family)], tasks)

        _compare(f"5 betas / 5 evaluations of one model (aim {AIM})", swept, evaluated)
        _compare("5 betas / 5 times merge to disk, load, evaluate", swept, merged)
        _moving(model)


def _answers(base: Path, model: StoredModel, tasks: Sequence[PreparedTask], times: int) -> None:
    """Evaluate one model, which is loaded once, several times."""
    from ggez_hub.evaluation.answers.cache import AnswerCache
    from ggez_hub.evaluation.models.backend import find_backend

    subject = find_backend(model.family).open(base, model.family, None, AnswerCache())
    for _ in range(times):
        subject.weights_changed(list(subject.state), AnswerCache())
        for task in tasks:
            for asked in task.asked.values():
                subject.answer(asked, task.method)


def _moving(model: StoredModel) -> None:
    from ggez_hub.evaluation.models.embedding_model import open_embedder

    live = LiveWeights(model, open_embedder(model.base, model.family).state)
    found = [_seconds(lambda b=beta: live.set_betas([b])) for beta in BETAS * 3]  # type: ignore[misc]
    print(f"moving {len(live.touched)} tensors to another beta: {statistics.median(found):.3f} s")


def _compare(label: str, a: Callable[[], None], b: Callable[[], None]) -> None:
    pairs = [(_seconds(a), _seconds(b)) for _ in range(PAIRS)]
    ratios = sorted(x / y for x, y in pairs)
    print(
        f"{label}: {statistics.median(x for x, _ in pairs):.2f} s against "
        f"{statistics.median(y for _, y in pairs):.2f} s, ratio {statistics.median(ratios):.2f} "
        f"[{ratios[0]:.2f}, {ratios[-1]:.2f}] over {PAIRS} pairs",
        flush=True,
    )


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _few(tasks: Sequence[Task], data: Path, out: Path) -> Path:
    """The first pictures of the data: an evaluation so short that moving the weights is seen."""
    import pyarrow.parquet as pq

    for path in {task.splits["validation"] for task in tasks}:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pq.read_table(data / path).slice(0, PICTURES), out / path)
    return out


def _lora(base: Path, folder: Path) -> Path:
    """A LoRA on every linear layer of both towers, with random matrices."""
    import open_clip
    import peft
    import torch

    torch.manual_seed(0)
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{base}")
    linear = [name for name, m in model.named_modules() if type(m) is torch.nn.Linear]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.LoraConfig(r=16, target_modules=linear))
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.01)
        wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder
