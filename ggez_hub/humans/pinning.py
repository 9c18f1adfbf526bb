"""A study is made of its YAML: models found, outputs made, and all of it pinned by digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from ggez_hub.atomic_files import OutputExists, atomic_folder, require_writable, write_file
from ggez_hub.digests import canonical_json, digest_json
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.humans.design import find_design
from ggez_hub.humans.generation import ModelOutputs
from ggez_hub.humans.gold import mismatched
from ggez_hub.humans.outputs import OutputFolder
from ggez_hub.humans.questions import Question, read_questions
from ggez_hub.humans.spec import StudySpec
from ggez_hub.humans.study import STUDY_FILE, Output, Study, StudyItem, StudyModel
from ggez_hub.output_lock import lock_output
from ggez_hub.recipe_file import BadRecipe, read_recipe
from ggez_hub.validation_errors import listed


def make_study(file: Path, target: Path, hub: Hub) -> Study:
    """Make the study of a YAML file in the new folder `target`; raises GgezError.

    What models answered before is not asked again.
    """
    spec, folder = read_recipe(file, "study", StudySpec), file.parent
    if target.exists():
        raise OutputExists(f"{target} exists already", "Choose another folder with -o.")
    require_writable(target)
    questions = read_questions(spec, folder, hub)
    # What is wrong with them is known before any model is asked, which may take hours.
    _planned(spec, file, questions)
    models = [ModelOutputs(model, folder) for model in spec.models]
    with lock_output(target), atomic_folder(target) as partial:
        kept = OutputFolder(partial)
        outputs = {model.spec.name: dict(_kept(model, questions, kept)) for model in models}
        pinned = [
            StudyModel(
                name=model.spec.name,
                role=model.spec.role,
                digest=model.digest or digest_json(_digests(outputs[model.spec.name])),
                beta=model.spec.beta,
            )
            for model in models
        ]
        pictures = {q.id: kept.keep(q.picture, q.id) for q in questions if q.picture}
        study = _pinned(spec, file, pinned, questions, outputs, pictures)
        write_file(partial / STUDY_FILE, study.canonical())
    return study


def plan_study(file: Path, hub: Hub) -> Study:
    """The same study before any model is asked; digests of models and outputs stand for others."""
    spec = read_recipe(file, "study", StudySpec)
    return _planned(spec, file, read_questions(spec, file.parent, hub))


def _planned(spec: StudySpec, file: Path, questions: Sequence[Question]) -> Study:
    outputs = {
        model.name: {
            q.id: Output(
                sha256=digest_json([model.name, q.id]), media="picture" if q.is_drawn else "text"
            )
            for q in questions
            if _is_judged(model.name, q)
        }
        for model in spec.models
    }
    models = [
        StudyModel(name=m.name, role=m.role, digest=digest_json(m.name), beta=m.beta)
        for m in spec.models
    ]
    for model in spec.models:
        if not (model.folder or model.results):
            lost = (
                q for q in questions if q.id in outputs[model.name] and model.name not in q.outputs
            )
            for question in lost:
                raise GgezError(
                    f"the item {question.id} has no output of {model.name}",
                    "Add it to the file of the items, or name the model's folder or results.",
                )
    return _pinned(spec, file, models, questions, outputs, {})


def _is_judged(model: str, question: Question) -> bool:
    """Whether a question is put to a model: a gold item may have outputs of some models alone."""
    return model in question.outputs or not (question.gold and question.outputs)


def _kept(
    model: ModelOutputs, questions: Sequence[Question], kept: OutputFolder
) -> Iterator[tuple[str, Output]]:
    """The outputs of a model by question: those that are there, and those that it is asked for."""
    name = model.spec.name
    asked = [q for q in questions if _is_judged(name, q) and name not in q.outputs]
    for question in questions:
        if name in question.outputs:
            yield question.id, kept.keep(question.outputs[name], f"{question.id} of {name}")
    for question, output in zip(asked, model.outputs(asked), strict=True):
        yield question.id, kept.keep(output, f"{question.id} of {name}")


def _digests(outputs: Mapping[str, Output]) -> dict[str, str]:
    return {item: output.sha256 for item, output in outputs.items()}


def _pinned(
    spec: StudySpec,
    file: Path,
    models: Sequence[StudyModel],
    questions: Sequence[Question],
    outputs: Mapping[str, Mapping[str, Output]],
    pictures: Mapping[str, Output],
) -> Study:
    """The study as it is pinned; raises BadRecipe where it does not hold together."""
    design = find_design(spec.design, file.parent)
    design = design.model_copy(update={"outputs": min(design.outputs, len(models))})
    items = [
        StudyItem(
            id=q.id,
            item_side=q.side,
            category=q.category,
            language=q.language,
            prompt=q.prompt,
            translations=dict(q.translations),
            picture=pictures.get(q.id),
            outputs={m.name: outputs[m.name][q.id] for m in models if q.id in outputs[m.name]},
            gold=None if q.gold is None else dict(q.gold),
        )
        for q in questions
    ]
    fields = spec.fields() | {
        "design": design.model_dump(mode="json"),
        "models": [model.model_dump(mode="json") for model in models],
        "items": [
            item.model_dump(mode="json") for item in (*items, *mismatched(spec, design, items))
        ],
    }
    try:
        return Study.model_validate_json(canonical_json(fields), strict=False)
    except ValidationError as error:
        raise BadRecipe(f"{file} is not a study that can be run:\n{listed(error)}") from error
