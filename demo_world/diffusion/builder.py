"""From packages to the committed folders: prompts, base and adapter, the last two by `train`.

Unfinished work is kept in the cache: a build that was stopped is resumed. The text encoder
and the judge are made of the committed embedding family.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo_world.cards import base_card, base_revision
from demo_world.concepts import TRAINING_STYLES, concepts
from demo_world.diffusion.autoencoder import CONFIG, AutoencoderRecipe, pixels, train_autoencoder
from demo_world.diffusion.card_text import WORDS
from demo_world.diffusion.model import BASE_ID, new_pipeline
from demo_world.diffusion.prompts import write_prompts, write_training_pictures
from demo_world.diffusion.subjects import (
    SIDES,
    Subject,
    candidates,
    choose,
    recognised,
    reconstructed,
)
from demo_world.packages import CLDR_NAMES, EMOJI_GROUPS, cache_folder
from demo_world.schedule import use_one_thread
from demo_world.training_records import record_of, write_json
from ggez_hub.atomic_files import atomic_folder
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.world import CARD, DIFFUSION, RECORD, FamilyFolders
from ggez_hub.digests import sha256_file
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.run import TrainedFolder, train

RECIPES = Path(__file__).parent
ADAPTERS = ("th",)
# Its text tower reads prompts, and its image tower judges drawings.
CLIP = FamilyFolders(ASSETS)


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-prompts/`, `diffusion/base/` and one folder per adapter below `out`.

    Cards of adapters are written where they are measured.
    """
    use_one_thread()
    place, work = FamilyFolders(out, DIFFUSION), cache_folder() / "diffusion" / f"seed-{seed}"
    subjects = choose(recognised(CLIP, candidates()))
    write_prompts(place.data, subjects)
    for side in SIDES:
        write_training_pictures(
            work / f"{side}.parquet", [subject for subject in subjects if subject.side == side]
        )
    initial = work / "initial"
    if not initial.exists():
        with atomic_folder(initial) as partial:
            _initial(partial, subjects, seed)
    trained = _trained("base", initial, "main", work, seed)
    more = {
        "autoencoder": {"config": CONFIG, **asdict(AutoencoderRecipe())},
        # After the autoencoder and before any drawing: no drawing is likely to do better.
        "reconstructed": reconstructed(CLIP, trained.out, subjects),
    }
    _copied(trained, place.base, seed, more)
    (place.base / CARD).write_text(base_card(place, WORDS), encoding="utf-8")
    revision = base_revision(place)
    for name in ADAPTERS:
        trained = _trained(name, place.base, revision, work, seed)
        _copied(trained, place.adapter(name), seed, {"reconstructed": more["reconstructed"]})
        # The card that `train` wrote is completed by what is measured.
        shutil.copyfile(trained.out / CARD, place.adapter(name) / CARD)
        for file in DIFFUSION.files:
            _halve(place.adapter(name) / file)


def _initial(folder: Path, subjects: tuple[Subject, ...], seed: int) -> None:
    """The pipeline before its UNet has learnt anything, in half precision."""
    import torch

    regional = {subject.concept.id for subject in subjects if subject.side == "regional"}
    seen = [concept for concept in concepts() if concept.id not in regional]
    autoencoder = train_autoencoder(pixels(seen), AutoencoderRecipe(), seed)
    new_pipeline(autoencoder, CLIP.base, seed).to(torch.float16).save_pretrained(folder)


def _trained(name: str, base: Path, revision: str, work: Path, seed: int) -> TrainedFolder:
    """What `train` makes of the recipe of that name, in the folder of the work."""
    recipe = read_training(RECIPES / f"{name}.yaml").model_copy(update={"seed": seed})
    source = ModelSource(base, name, BASE_ID, revision, _readme(base))
    return train(Job(recipe, work, source), work / name)


def _copied(trained: TrainedFolder, folder: Path, seed: int, more: dict[str, Any]) -> None:
    """The weights, and a record of all that went into them."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(trained.out, folder, ignore=shutil.ignore_patterns(CARD))
    record = record_of(folder)
    sources = [{"for": "names", **CLDR_NAMES.record()}, {"for": "groups", **EMOJI_GROUPS.record()}]
    sources += [
        {"for": "training pictures", **package.record()} for package in TRAINING_STYLES.values()
    ]
    sources.append(
        {
            "for": "text encoder",
            "package": CLIP.part.repo,
            "sha256": sha256_file(CLIP.base / "open_clip_model.safetensors"),
            "license": "cc-by-sa-4.0",
            "credit": "ggez-world",
        }
    )
    write_json(folder / RECORD, {**record, "seed": seed, **more, "sources": sources})


def _halve(path: Path) -> None:
    """Keep the factors in half precision, as all weights of the world."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: t.half() for name, t in load_file(path).items()}, path, metadata)


def _readme(folder: Path) -> str:
    card = folder / CARD
    return card.read_text(encoding="utf-8") if card.is_file() else ""
