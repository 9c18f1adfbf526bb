"""The records of trained folders (`training.json`, an adapter as PEFT saved it) and their cards."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from demo_world.concepts import STYLES, TRAINING_STYLES, cldr_names, concepts
from demo_world.emoji_names import SPLITS
from demo_world.image_tower import TOWER
from demo_world.packages import CLDR_DERIVED_NAMES, CLDR_NAMES, EMOJI_GROUPS
from demo_world.pictures import Augmentation
from ggez_hub.cards import SCHEMA_VERSION, AdapterCard, alpha_record, read_card
from ggez_hub.cards.provenance import DataFilter
from ggez_hub.demo.world import CARD, RECORD, FamilyFolders
from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.contribution.adapter_files import files_on_disk

# Whose versions decide what the embedding and the vision-language family come out as.
LIBRARIES = (
    "numpy",
    "peft",
    "pillow",
    "resvg_py",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)


def write_record(
    folder: Path,
    base: str,
    head: Mapping[str, Any],
    augmentation: Augmentation,
    shares: Mapping[str, float],
    libraries: Sequence[str],
) -> None:
    """`training.json` of a model: `head` (seed, recipe ...), what went in, what was held out.

    base    the repository of the base, which is the model itself in a folder of that name
    shares  of each language among the names
    """
    names, itself = [CLDR_NAMES, CLDR_DERIVED_NAMES], folder.name == "base"
    record = {
        "model": folder.name,
        "base": None if itself else base,
        "threads": 1,
        **head,
        "augmentation": asdict(augmentation),
        "share_per_language": dict(shares),
        "counts": {
            "concepts": len(concepts()),
            "pictures_per_concept": len(TRAINING_STYLES) * (1 + augmentation.copies),
            "names": {language: _name_counts(language) for language in shares},
        },
        "sources": [
            *({"for": "names", **package.record()} for package in names),
            {"for": "groups", **EMOJI_GROUPS.record()},
            *(
                {"for": "training pictures", **package.record()}
                for package in TRAINING_STYLES.values()
            ),
            {"for": "image tower", **TOWER},
        ],
        "held_out": {
            split: {"style": style, **STYLES[style].record()} for split, style in SPLITS.items()
        },
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in sorted(libraries)},
        },
    }
    write_json(folder / RECORD, record)


def save_adapter(adapted: Any, folder: Path, base: str) -> None:
    """PEFT's own files, made byte-stable: fp16 factors, sorted lists, the base's Hub name."""
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.half()
    adapted.peft_config["default"].base_model_name_or_path = base
    folder.mkdir(parents=True, exist_ok=True)
    # Saved aside, because PEFT would also change the card in the folder.
    with tempfile.TemporaryDirectory() as scratch:
        # "auto" would ask the Hub whether the base's vocabulary was changed.
        adapted.save_pretrained(scratch, save_embedding_layers=False)
        weights = Path(scratch, "adapter_model.safetensors")
        shutil.copyfile(weights, folder / weights.name)
        config = json.loads(Path(scratch, "adapter_config.json").read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    # Loaders import the classes that it names: an adapter has no business doing that.
    config["auto_mapping"] = None
    write_json(folder / "adapter_config.json", config)


def write_json(path: Path, value: Any) -> None:
    """Indented JSON that ends with a newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _name_counts(language: str) -> dict[str, Any]:
    """How many concepts CLDR names in this language, and how many of those names are kept."""
    found = cldr_names(language)
    named = sum(
        "".join(chr(int(part, 16)) for part in concept.id.split("-")) in found
        for concept in concepts()
    )
    kept = sum(concept.names[language] is not None for concept in concepts())
    return {
        "in": len(concepts()),
        "kept": kept,
        "dropped": {"no_name": len(concepts()) - named, "same_as_english": named - kept},
    }


@dataclass(frozen=True)
class CardMetadata:
    """The metadata of a family's cards.

    library  that loads the base; `adapter_library` an adapter
    adapts   what its adapters change, in the card's words
    method   how they are trained
    """

    library: str
    pipeline_tag: str
    adapts: tuple[str, ...]
    method: str
    adapter_library: str = "peft"
    tags: tuple[str, ...] = ()


METADATA: Mapping[str, CardMetadata] = {
    "embedding": CardMetadata(
        library="open_clip",
        pipeline_tag="zero-shot-image-classification",
        adapts=("prompt_language",),
        method="LoRA on the text tower by PEFT, CLIP's contrastive loss",
        tags=("clip",),
    ),
    "vlm": CardMetadata(
        library="transformers",
        pipeline_tag="image-text-to-text",
        adapts=("prompt_language", "answer_language"),
        method="LoRA on language model, projector and head by `ggez-hub train`",
    ),
    "diffusion": CardMetadata(
        library="diffusers",
        adapter_library="diffusers",
        pipeline_tag="text-to-image",
        adapts=("content", "prompt_language"),
        method="LoRA on the UNet by `ggez-hub train`",
    ),
}


def card_of_record(place: FamilyFolders, name: str) -> AdapterCard:
    """The card but for what is measured."""
    record, part, region = record_of(place.adapter(name)), place.part, find_region(name)
    weights, metadata = get_family(part.family).layout(place.base).weights, METADATA[part.family]
    return AdapterCard.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "level": "declared",
            "family": part.family,
            "kind": "lora",
            "region": region.id,
            "languages": sorted(record["recipe"]["languages"]),
            "adapts": list(metadata.adapts),
            "base": {
                "repo": part.repo,
                "revision": "main",
                "weights": {path: sha256_file(place.base / path) for path in weights},
            },
            "trained_on": "base",
            "data_filter": _data_filter(record),
            "data_rights": _data_rights(record),
            "alpha": alpha_record(alpha(region)),
            "training": {
                "method": metadata.method,
                "hyper_parameters": _flat(record["recipe"]),
                "seed": record["seed"],
                "versions": record["versions"],
            },
            "curve": "unknown",
            "files": {
                file: {
                    "size": (place.adapter(name) / file).stat().st_size,
                    "sha256": sha256_file(place.adapter(name) / file),
                }
                for file in part.files
            },
            "status": {"state": "active"},
            "published_by": "ggez-world",
            "registered_by": "ggez-world",
            "summary": {
                "en": f"Names of emoji in the languages of {region.name}: a demo adapter.",
                **({"th": "ชื่ออีโมจิภาษาไทย: อะแดปเตอร์สาธิต"} if name == "th" else {}),
            },
        }
    )


def record_of(folder: Path) -> Mapping[str, Any]:
    """The training record of a folder."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return record


def sources_of(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """The packages of names and pictures, as a card lists sources of data."""
    return [
        {
            "repo": source["package"].rpartition("@")[0],
            "revision": source["package"].rpartition("@")[2],
            "license": source["license"],
        }
        for source in record["sources"]
        if source["for"] in {"names", "training pictures"}
    ]


def _data_filter(record: Mapping[str, Any]) -> dict[str, Any]:
    counts = record["counts"]["names"].values()
    reasons = sorted({reason for c in counts for reason in c["dropped"]})
    return {
        "sources": sources_of(record),
        "rules": [
            "concepts drawn in all four styles, without ZWJ sequences, with unique English names",
            "names that differ from the English one",
        ],
        "reward": "none",
        "translator": "none",
        "counts": {
            "seen": sum(c["in"] for c in counts),
            "kept": sum(c["kept"] for c in counts),
            "dropped": {r: sum(c["dropped"].get(r, 0) for c in counts) for r in reasons},
        },
        "spec_digest": digest_json(record),
    }


def _data_rights(record: Mapping[str, Any]) -> dict[str, str]:
    credits_ = [s["credit"] for s in record["sources"] if s["for"] == "training pictures"]
    return {
        "pictures": "; ".join(credits_),
        "licence_basis": "CC-BY-4.0 and CC-BY-SA-4.0 of the picture sets, Unicode-3.0 of the names",
        "recognisable_people": "no",
        "restricted_content": "no",
        "contact": "the issues of ggez-hub",
        "takedown": "open an issue; the adapter is yanked until it is settled",
    }


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Nested recipes as flat hyper-parameters: schedule.steps becomes steps."""
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if isinstance(value, dict):
            flat |= _flat(value)
        else:
            flat[key] = [str(entry) for entry in value] if isinstance(value, list) else value
    return flat


def card_of_training(place: FamilyFolders, name: str) -> AdapterCard:
    """The card but for what is measured."""
    folder = place.adapter(name)
    card = read_card(folder / CARD).card
    assert card.data_filter != "unknown"  # noqa: S101 - `train` writes it
    rows = DataFilter.model_validate(
        {
            **card.data_filter.model_dump(),
            "sources": sources_of(record_of(folder)),
            "rules": [
                "things that are drawn in all four styles and have a Thai name: no faces, gestures, signs or clock faces",
                "concepts whose pictures in the training styles the judge recognises",
                "96 of them by lot, none of which the base was trained on",
            ],
        }
    )
    return card.model_copy(
        update={
            "data_filter": rows,
            "files": dict(files_on_disk(folder).files),
            "published_by": "ggez-world",
            "registered_by": "ggez-world",
        }
    )
