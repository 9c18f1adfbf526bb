"""What every trained folder says of itself: `training.json`, and an adapter as PEFT saved it."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ggez_hub.world.augmentation import Augmentation
from ggez_hub.world.concepts import STYLES, TRAINING_STYLES, cldr_names, concepts
from ggez_hub.world.material import CLDR_DERIVED_NAMES, CLDR_NAMES, EMOJI_GROUPS
from ggez_hub.world.pictures import SPLITS
from ggez_hub.world.place import RECORD
from ggez_hub.world.tower import TOWER

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
    # Saved aside, because PEFT would also touch the card that lies in the folder.
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
