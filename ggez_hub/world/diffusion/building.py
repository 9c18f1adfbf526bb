"""From packages to the committed folders: prompts, base and adapter, the last two by `train`.

The work is kept in the cache until it is done: a build that was stopped goes on. The text encoder
and the judge are made of the committed embedding family.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ggez_hub.embedded import HubStore
from ggez_hub.registry.local.inputs import Source
from ggez_hub.training.job import Job, read_training
from ggez_hub.training.run import Trained, train
from ggez_hub.weights import sha256_file
from ggez_hub.world.concepts import TRAINING_STYLES, concepts
from ggez_hub.world.diffusion.autoencoder import (
    CONFIG,
    AutoencoderRecipe,
    pixels,
    train_autoencoder,
)
from ggez_hub.world.diffusion.judging import recognised, reconstructed
from ggez_hub.world.diffusion.model import BASE_ID, new_pipeline
from ggez_hub.world.diffusion.pictures import write_prompts, write_training_pictures
from ggez_hub.world.diffusion.place import ADAPTER_FILES, Place
from ggez_hub.world.diffusion.prose import base_card
from ggez_hub.world.diffusion.sets import SIDES, Subject, candidates, choose
from ggez_hub.world.material import CLDR_NAMES, EMOJI_GROUPS, cache_folder
from ggez_hub.world.records import write_json
from ggez_hub.world.schedule import use_one_thread
from ggez_hub.world.seed import ASSETS, commit_base

RECIPES = Path(__file__).parent
ADAPTERS = ("th",)
CARD, RECORD = "README.md", "training.json"


def build(out: Path, seed: int = 0) -> None:
    """Write `emoji-prompts/`, `diffusion/base/` and one folder per adapter below `out`.

    Cards of adapters are written where they are measured.
    """
    use_one_thread()
    place, work = Place(out), cache_folder() / "diffusion" / f"seed-{seed}"
    subjects = choose(recognised(Place(ASSETS), candidates()))
    write_prompts(place.prompts, subjects)
    for side in SIDES:
        write_training_pictures(
            work / f"{side}.parquet", [subject for subject in subjects if subject.side == side]
        )
    initial = _once(work / "initial", lambda folder: _initial(folder, subjects, seed))
    trained = _trained("base", initial, "main", work, seed)
    more = {
        "autoencoder": {"config": CONFIG, **asdict(AutoencoderRecipe())},
        # After the autoencoder and before any drawing: no drawing is likely to do better.
        "reconstructed": reconstructed(Place(ASSETS), trained.out, subjects),
    }
    _copied(trained, place.base, seed, more)
    (place.base / CARD).write_text(base_card(_record(place.base)), encoding="utf-8")
    revision = base_revision(place)
    for name in ADAPTERS:
        trained = _trained(name, place.base, revision, work, seed)
        _copied(trained, place.adapter(name), seed, {"reconstructed": more["reconstructed"]})
        # The card that `train` wrote is completed by what is measured.
        shutil.copyfile(trained.out / CARD, place.adapter(name) / CARD)
        for file in ADAPTER_FILES:
            _halve(place.adapter(name) / file)


def base_revision(place: Place) -> str:
    """The commit that the base will have in every hub: its author, date and files are fixed."""
    with tempfile.TemporaryDirectory() as folder, HubStore.open(Path(folder)) as store:
        return commit_base(store, place.assets, "diffusion")


def _initial(folder: Path, subjects: tuple[Subject, ...], seed: int) -> None:
    """The pipeline before its UNet has learnt anything, in half precision."""
    import torch

    regional = {subject.concept.id for subject in subjects if subject.side == "regional"}
    seen = [concept for concept in concepts() if concept.id not in regional]
    autoencoder = train_autoencoder(pixels(seen), AutoencoderRecipe(), seed)
    new_pipeline(autoencoder, Place(ASSETS).clip, seed).to(torch.float16).save_pretrained(folder)


def _trained(name: str, base: Path, revision: str, work: Path, seed: int) -> Trained:
    """What `train` makes of the recipe of that name, in the folder of the work."""
    recipe = read_training(RECIPES / f"{name}.yaml").model_copy(update={"seed": seed})
    source = Source(base, name, BASE_ID, revision, _readme(base))
    return train(Job(recipe, work, source), work / name)


def _copied(trained: Trained, folder: Path, seed: int, more: dict[str, Any]) -> None:
    """The weights, and a record of all that went into them."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(trained.out, folder, ignore=shutil.ignore_patterns(CARD))
    record = _record(folder)
    sources = [{"for": "names", **CLDR_NAMES.record()}, {"for": "groups", **EMOJI_GROUPS.record()}]
    sources += [
        {"for": "training pictures", **package.record()} for package in TRAINING_STYLES.values()
    ]
    clip = Place(ASSETS).clip / "open_clip_model.safetensors"
    sources.append(
        {
            "for": "text encoder",
            "package": "ggez-world/clip-emoji",
            "sha256": sha256_file(clip),
            "license": "cc-by-sa-4.0",
            "credit": "ggez-world",
        }
    )
    write_json(folder / RECORD, {**record, "seed": seed, **more, "sources": sources})


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made if it is not there; it has its name when it is whole."""
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        make(partial)
        partial.rename(folder)
    return folder


def _halve(path: Path) -> None:
    """Keep the factors in half precision, as all weights of the world."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: t.half() for name, t in load_file(path).items()}, path, metadata)


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return record


def _readme(folder: Path) -> str:
    card = folder / CARD
    return card.read_text(encoding="utf-8") if card.is_file() else ""
