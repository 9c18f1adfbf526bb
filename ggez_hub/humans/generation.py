"""The outputs of the models of a study: those that are there, those of results, or new ones.

New ones are made by the evaluation's own code, and kept with its answers in the user's cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.cache import CHUNK
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged, NotJudged
from ggez_hub.evaluation.models import Adapted, LoadedModel, ModelUnderTest, model_in
from ggez_hub.evaluation.models.backend import find_backend, kept_answers
from ggez_hub.evaluation.models.drawing_model import DrawingModel, Order
from ggez_hub.evaluation.models.generative_model import GenerativeModel, Posed
from ggez_hub.evaluation.results.evidence import Evidence, open_evidence
from ggez_hub.families import detect_family
from ggez_hub.humans.outputs import Content, PictureFile, content_of
from ggez_hub.humans.questions import TEST, Question
from ggez_hub.humans.spec import ModelSpec
from ggez_hub.parity.betas import beta_key
from ggez_hub.progress import task


class ModelOutputs:
    """A model of a study whose YAML is in `folder`.

    digest  the sha256 that it is pinned by; None where only its outputs are known
    """

    def __init__(self, spec: ModelSpec, folder: Path) -> None:
        """Find the model, which is not loaded yet; raises GgezError."""
        self.spec, self.digest = spec, spec.digest
        self._model: ModelUnderTest | None = None
        self._evidence: Evidence | None = None
        if spec.folder is not None:
            place = folder / spec.folder
            family = detect_family(place)
            adapted = None
            if spec.adapter is not None and spec.beta is not None:
                adapted = Adapted(folder / spec.adapter, spec.beta)
            # Drawings are kept by the study; the folder would be that of a measurement.
            backend = find_backend(family, Path(tempfile.gettempdir()))
            self._model = model_in(place, family, backend, adapted)
            self.digest = self._model.digest
        elif spec.results is not None and spec.beta is not None:
            self._evidence = open_evidence(folder / spec.results)
            self.digest = self._evidence.header.models.get(beta_key(spec.beta))
            if self.digest is None:
                raise UsageProblem(
                    f"{spec.results} records no model at beta {spec.beta:g}",
                    f"Betas: {', '.join(self._evidence.header.models) or 'none'}.",
                )

    def outputs(self, questions: Sequence[Question]) -> Iterator[Content]:
        """What it gives to questions without its output: texts, or files of pictures.

        Raises GgezError.
        """
        if self._model is not None:
            yield from _generated(self._model.open(kept_answers(self._model)), questions, self.spec)
        elif self._evidence is not None and self.spec.beta is not None:
            for question in questions:
                yield _recorded(self._evidence, self.spec.beta, question)


def _generated(
    model: LoadedModel, questions: Sequence[Question], spec: ModelSpec
) -> Iterator[Content]:
    with task(f"{spec.name} answers", len(questions)) as shown:
        for start in range(0, len(questions), CHUNK):
            part = questions[start : start + CHUNK]
            if isinstance(model, DrawingModel):
                yield from model.drawings([_order(question) for question in part])
            elif isinstance(model, GenerativeModel):
                prompt = model.writer.prompt
                yield from model.replies(
                    [
                        Posed(
                            content_of(q.picture) if q.picture else b"",
                            prompt(q.text, q.picture is not None),
                            new_tokens=q.reply_tokens,
                        )
                        for q in part
                    ]
                )
            else:
                raise UsageProblem(
                    f"{spec.folder} is a model of embeddings: it gives nothing that people can judge",
                    "Name a model that draws or writes.",
                )
            shown.advance(len(part))


def _order(question: Question) -> Order:
    if question.drawing is None:
        raise UsageProblem(
            f"the item {question.id} is answered in writing, and the model draws",
            "Name a suite of prompts, or a model that writes.",
        )
    return Order(question.text, question.seed, question.drawing)


def _recorded(evidence: Evidence, beta: float, question: Question) -> Content:
    """The answer that results hold of a question; raises GgezError where they hold none."""
    name, item, number = question.answer or ("", "", 0)
    outcomes = evidence.outcomes.get(Cell(beta, name, TEST))
    raw = None if outcomes is None else _raw(outcomes, item)
    if raw is None:
        raise GgezError(
            f"{evidence.place} holds no answer of beta {beta:g} to {question.id}",
            "Take the items from these results too, or name the model's folder.",
        )
    if question.drawing is None:
        return raw
    try:
        drawn = Judged.from_text(raw).pictures
    except NotJudged:
        # Of what is recognised, the drawing itself is the answer.
        drawn = (raw,)
    return PictureFile(f"{drawn[number]}.png", evidence.place / "pictures")


def _raw(outcomes: Outcomes, item: str) -> str | None:
    if outcomes.details is None or item not in outcomes.items:
        return None
    return outcomes.details.raw[outcomes.items.index(item)]
