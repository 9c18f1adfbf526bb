"""The output of a run: a PEFT folder, or the base's files with the weights that were trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.families import Family, KeyMap, Layout, NotOneToOne, TiedWeight
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.side_files import copy_side_files

if TYPE_CHECKING:
    from torch import Tensor


def write_adapter(model: Any, folder: Path, repo: str, revision: str | None) -> None:
    """Write a PeftModel as `peft` loads it; it names its base by repository and commit."""
    config = model.peft_config["default"]
    config.base_model_name_or_path, config.revision = repo, revision
    # Left to itself, PEFT asks the Hub whether the vocabulary has grown.
    model.save_pretrained(folder, save_embedding_layers=False)
    # A template of PEFT's.
    (folder / "README.md").unlink(missing_ok=True)
    # A class that loaders import: `pull` refuses adapters that name one.
    path = folder / CONFIG
    written = json.loads(path.read_text(encoding="utf-8")) | {"auto_mapping": None}
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def stored_names(names: list[str], base: WeightIndex, family: Family) -> dict[str, str]:
    """The base's tensors by the parameters that are loaded from them; raises GgezError."""
    key_map = family.key_map(base.folder, base.keys())
    found = {name: _stored(name, base, key_map) for name in names}
    if missing := [name for name, stored in found.items() if stored is None]:
        raise GgezError(
            f"{base.folder} stores no tensor of its own for {', '.join(missing[:3])}",
            "Train an adapter: method: lora.",
        )
    return {name: stored for name, stored in found.items() if stored is not None}


def write_finetune(
    trained: Mapping[str, Tensor],
    base: WeightIndex,
    layout: Layout,
    family: Family,
    folder: Path,
) -> None:
    """Write the base again with `trained` parameters in place of its own, in the base's dtypes.

    Everything else is the base's: names, shards, what was not trained, and side files. Raises
    GgezError.
    """
    from ggez_hub.merging.stored_tensors import TORCH_DTYPE
    from ggez_hub.merging.writer import MirrorWriter

    value = {
        stored: trained[name] for name, stored in stored_names([*trained], base, family).items()
    }
    copy_side_files(base.folder, folder, layout)
    writer = MirrorWriter(base, folder)
    try:
        for name, info in base.items():
            if (own := value.get(name)) is None:
                writer.copy_tensor(name)
            else:
                writer.save_tensor(name, own.detach().to("cpu", TORCH_DTYPE[info.dtype]))
        writer.finalize()
    finally:
        writer.close()


def _stored(name: str, base: WeightIndex, key_map: KeyMap) -> str | None:
    if name in base:
        return name
    module, _, leaf = name.rpartition(".")
    try:
        if leaf == "weight":
            return key_map(module)
        # Beside the weight of the same module, or a parameter on its own.
        weight = key_map(module) or ""
        beside = weight.removesuffix("weight") + leaf
        return beside if weight and beside in base else key_map(name)
    except TiedWeight as tied:
        # All that share the tensor are trained alike.
        return tied.tensor
    except NotOneToOne:
        return None
