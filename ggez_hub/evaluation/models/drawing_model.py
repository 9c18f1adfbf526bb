"""Models that draw, under test: fixed prompts and seeds, and a judge of what they show."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ggez_hub.atomic_files import write_file
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, Drawing
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_about
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, credit_outcomes
from ggez_hub.evaluation.benchmarks.loaders import Choice, DrawingPrompt, SafetyPrompt
from ggez_hub.evaluation.benchmarks.multiple_choice import RECOGNITION, details_of
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.recognition import Recognition
from ggez_hub.evaluation.benchmarks.safety import flag_outcomes, unchecked
from ggez_hub.evaluation.models.backend import EvaluationBackend
from ggez_hub.evaluation.models.judge_model import JudgeModel
from ggez_hub.evaluation.models.model_under_test import (
    DivisibleModel,
    LoadedModel,
    SwappableModel,
)
from ggez_hub.evaluation.models.weight_swap import Adapted, put_on
from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.diffusion import denoiser_dtype
from ggez_hub.families.pretrained import BROKEN, NotLoaded
from ggez_hub.images import encode_png
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch


# Prompts whose pictures are in memory at once.
CHUNK = 8
# Drawings that are recognised are small, and of one size: so many are drawn together.
TOGETHER = 32


class Order(NamedTuple):
    """One picture that is to be drawn."""

    prompt: str
    seed: int
    drawing: Drawing

    @property
    def digest(self) -> str:
        """The sha256 of all that decides it, beside the model; not of the other seeds."""
        settings = self.drawing.model_dump(mode="json", exclude={"seeds"})
        return digest_json([self.prompt, self.seed, settings])


class Pipeline:
    """A text-to-image pipeline.

    On a GPU in the dtype of its denoiser; without one in float32. `state` are the tensors in memory
    by the names under which they are stored.
    """

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        """Open local files only: no code of the repository, no pickle.

        Raises NotLoaded, and what opening the adapter raises.
        """
        require_engine()
        require("eval", "diffusers", "transformers", "PIL")
        import diffusers
        import torch
        import transformers

        # They would warn of each prompt that is cut, and draw bars beside ours.
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        layout = family.layout(folder)
        gpu = torch.cuda.is_available()
        dtype = getattr(torch, denoiser_dtype(folder, layout) if gpu else "float32")
        try:
            self._pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except BROKEN as error:
            raise NotLoaded(f"diffusers cannot load {folder}: {error}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        # Left to themselves, components come in dtypes that do not go together.
        self._pipeline.to("cuda" if gpu else "cpu", dtype)
        self.state: Mapping[str, torch.Tensor] = {
            f"{component}/{name}": tensor
            for component, module in self._pipeline.components.items()
            if isinstance(module, torch.nn.Module)
            for name, tensor in module.state_dict().items()
        }
        # The checker of the base judges, also what an adapter draws that brings its own.
        self.has_checker = self._pipeline.components.get("safety_checker") is not None
        if self.has_checker:
            self._pipeline.safety_checker = copy.deepcopy(self._pipeline.safety_checker)
        if adapted is not None:
            put_on(folder, family, adapted, self.state)

    def draw(self, orders: Sequence[Order]) -> list[bytes]:
        """The pictures as PNG files, each by itself: none depends on those beside it.

        Raises UsageProblem for a size or a setting that the pipeline does not know.
        """
        return [file for order in orders for file in self._drawn(order)]

    def draw_together(self, orders: Sequence[Order]) -> list[bytes]:
        """Those with the same settings at once, in a third of the time; raises as `draw`.

        A last bit may depend on the pictures beside it.
        """
        return self._drawn(*orders)

    def flags(self, orders: Sequence[Order]) -> list[bool]:
        """Whether the pipeline's safety checker flags each picture; raises as `draw`."""
        return [bool(self._output(order).nsfw_content_detected[0]) for order in orders]

    def _drawn(self, *orders: Order) -> list[bytes]:
        return [encode_png(picture) for picture in self._output(*orders).images]

    def _output(self, *orders: Order) -> Any:
        import torch

        wanted = orders[0].drawing
        options = {
            "num_inference_steps": wanted.steps,
            "guidance_scale": wanted.guidance,
            "width": wanted.width,
            "height": wanted.height,
        }
        # On the CPU the noise is the same whatever device draws.
        noise = [torch.Generator("cpu").manual_seed(order.seed) for order in orders]
        try:
            with torch.inference_mode():
                return self._pipeline(
                    prompt=[order.prompt for order in orders],
                    generator=noise,
                    **{name: value for name, value in options.items() if value is not None},
                )
        except (ValueError, TypeError) as error:
            raise UsageProblem(
                f"{type(self._pipeline).__name__} cannot draw this: {error}",
                "Change `drawing` in a task of your own.",
            ) from error


@dataclass
class DrawingModel:
    """A model that draws, and the judge; each picture is kept as `<sha256>.png` in a folder.

    Without a judge only tasks that name their own can be answered. `state` are the painter's
    tensors, if they are in memory here.
    """

    painter: Pipeline
    judge: LoadedModel | None
    known: AnswerCache
    pictures: Path
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def weights_changed(self, names: Collection[str], known: AnswerCache) -> None:
        if names:
            self.known = known

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        if asked.recognised is not None:
            return self._recognised(asked.recognised)
        if asked.safety is not None:
            return self._checked(*asked.safety)
        if asked.drawn is None or self.judge is None:
            return asked.all_missing()
        benchmark, prompts = asked.drawn
        drawing = benchmark.drawing
        assert drawing is not None  # noqa: S101 - a benchmark of prompts has it
        judged: list[Judged] = []
        chance: list[float] = []
        for part, work in self._drawn(prompts, drawing):
            shown = _shown(part, work.answers())
            found = self.judge.answer(_about(benchmark, shown), method)
            given = dict(zip(found.items, found.predicted, strict=True))
            floors = dict(zip(found.items, found.chance.tolist(), strict=True))
            for prompt, own in shown:
                answers = [
                    {
                        question.number: given[_id(prompt, seed, place)]
                        for place, question in enumerate(prompt.parts)
                    }
                    for seed in range(len(own))
                ]
                judged.append(Judged.of(prompt, [self._store(file) for file in own], answers))
                # What depends on others cannot be guessed one by one.
                is_choice = benchmark.metric == "drawn_choice"
                chance.append(floors[_id(prompt, 0, 0)] if is_choice else 0.0)
        return _outcomes(prompts, drawing, judged, chance)

    def work(self, asked: QuestionSet, method: str) -> Iterator[Work[Any]]:
        if asked.recognised is not None:
            yield from self._together(asked.recognised)
        elif asked.safety is not None:
            if self.painter.has_checker:
                yield self._flags(*asked.safety)
        elif asked.drawn is not None and self.judge is not None:
            benchmark, prompts = asked.drawn
            drawing = benchmark.drawing
            assert drawing is not None  # noqa: S101 - a benchmark of prompts has it
            groups = list(self._drawn(prompts, drawing))
            for _, work in groups:
                yield work
            if isinstance(self.judge, DivisibleModel):
                for part, work in groups:
                    found = self.known.find(work.keys)
                    if not found.keys() >= {*work.keys}:
                        break
                    shown = _shown(part, [found[key] for key in work.keys])
                    yield from self.judge.work(_about(benchmark, shown), method)

    def drawings(self, orders: Sequence[Order]) -> list[bytes]:
        """The pictures as PNG files, as they are: nobody judges them."""
        return self._drawings(orders).answers()

    def _drawings(self, orders: Sequence[Order]) -> Work[Order]:
        return Work([o.digest for o in orders], orders, self.known, self.painter.draw, chunk=1)

    def _drawn(
        self, prompts: Sequence[DrawingPrompt], drawing: Drawing
    ) -> Iterator[tuple[Sequence[DrawingPrompt], Work[Order]]]:
        """Groups of prompts, and their pictures: every seed of each prompt."""
        for start in range(0, len(prompts), CHUNK):
            part = prompts[start : start + CHUNK]
            orders = [Order(p.prompt, seed, drawing) for p in part for seed in drawing.seeds]
            yield part, self._drawings(orders)

    def _together(self, asked: Recognition) -> Iterator[Work[Order]]:
        for start in range(0, len(asked.wanted), TOGETHER):
            wanted = asked.wanted[start : start + TOGETHER]
            orders = [Order(w.prompt, w.seed, asked.drawing(w)) for w in wanted]
            keys = [f"{order.digest} of {TOGETHER}" for order in orders]
            yield Work(keys, orders, self.known, self.painter.draw_together, TOGETHER)

    def _flags(self, benchmark: Benchmark, prompts: Sequence[SafetyPrompt]) -> Work[Order]:
        drawing = benchmark.drawing
        assert drawing is not None  # noqa: S101 - a benchmark of drawings has it
        orders = [Order(prompt.prompt, prompt.seed, drawing) for prompt in prompts]
        keys = [f"{order.digest} is flagged" for order in orders]
        return Work(keys, orders, self.known, self.painter.flags, chunk=1)

    def _recognised(self, asked: Recognition) -> Outcomes:
        similarity, names = [], []
        for work in self._together(asked):
            files = work.answers()
            names += [self._store(file) for file in files]
            similarity.append(asked.similarity(files))
        return asked.outcomes(np.concatenate(similarity), names)

    def _checked(self, benchmark: Benchmark, prompts: Sequence[SafetyPrompt]) -> Outcomes:
        if not self.painter.has_checker:
            return unchecked(prompts)
        return flag_outcomes(prompts, self._flags(benchmark, prompts).answers())

    def _store(self, picture: bytes) -> str:
        name = hashlib.sha256(picture).hexdigest()
        path = self.pictures / f"{name}.png"
        if not path.is_file():
            write_file(path, picture, durable=False)
        return name


def _id(prompt: DrawingPrompt, seed: int, place: int) -> str:
    return f"{prompt.id}/{seed}/{place}"


def _shown(
    prompts: Sequence[DrawingPrompt], files: Sequence[bytes]
) -> list[tuple[DrawingPrompt, list[bytes]]]:
    """Each prompt with its pictures, one for each seed."""
    each, left = len(files) // len(prompts), iter(files)
    return [(prompt, list(islice(left, each))) for prompt in prompts]


def _about(
    benchmark: Benchmark, shown: Sequence[tuple[DrawingPrompt, Sequence[bytes]]]
) -> QuestionSet:
    """The judge's questions."""
    return ask_about(benchmark, [c for prompt, own in shown for c in _choices(prompt, own)])


def _choices(prompt: DrawingPrompt, files: Sequence[bytes]) -> Iterator[Choice]:
    for seed, file in enumerate(files):
        for place, part in enumerate(prompt.parts):
            yield Choice(
                **{**prompt.common, "id": _id(prompt, seed, place), "picture": file},
                question=part.question,
                options=part.options,
                gold=part.gold,
            )


def _outcomes(
    prompts: Sequence[DrawingPrompt],
    drawing: Drawing,
    judged: Sequence[Judged],
    chance: Sequence[float],
) -> Outcomes:
    settings = drawing.model_dump(mode="json")
    found = credit_outcomes(
        [prompt.id for prompt in prompts],
        [own.credit for own in judged],
        details_of(
            prompts,
            [digest_json([prompt.prompt, settings]) for prompt in prompts],
            raw=[own.as_text() for own in judged],
        ),
        chance=chance,
    )
    predicted = (
        UNPARSED if own.unread else worth
        for own, worth in zip(judged, found.predicted, strict=True)
    )
    return replace(found, predicted=tuple(predicted))


def drawing_backend(pictures: Path, judge: JudgeModel | None) -> EvaluationBackend:
    """How pipelines are asked: their drawings are kept in `pictures`, and the judge looks at them.

    Drawings that are recognised need no judge: the task names its own.
    """

    def opened(
        folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
    ) -> SwappableModel:
        pipeline = Pipeline(folder, family, adapted)
        judges = judge.open() if judge else None
        return DrawingModel(pipeline, judges, known, pictures, pipeline.state)

    methods = (judge.method,) if judge else ()
    return EvaluationBackend((*methods, RECOGNITION), searches=False, open=opened)
