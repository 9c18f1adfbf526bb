"""What identifies a model under test: the base's weights, the adapter's files, and beta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters.peft import CONFIG, WEIGHTS, holds_peft
from ggez_hub.weights import digest_json, sha256_file

# What a full fine-tune or a task vector is, beside its safetensors.
DESCRIPTIONS = (".safetensors.index.json", "task_vector.json")


@dataclass(frozen=True)
class Model:
    """What is measured, as it lies on this machine: a base, and adapters on it."""

    base: Path
    adapters: tuple[Path, ...]
    family: Family


def beta_key(beta: float) -> str:
    """A beta as cards write it, in shortest form: "0", "0.25", "1".

    Raises UsageProblem for one that is negative, not finite or has more than six digits.
    """
    key = f"{beta:g}"
    if not (0 <= beta < 1e6) or float(key) != beta or "e" in key:
        raise UsageProblem(f"beta {beta!r} cannot be a point of the grid", "Use 0, 0.25, 1, ...")
    return key


def model_digests(model: Model, betas: Sequence[float]) -> dict[str, str]:
    """Beta key -> what identifies the model that answers at this beta."""
    weights = model.family.layout(model.base).weights
    base = {path: sha256_file(model.base / path) for path in weights}
    files = [_decisive(adapter) for adapter in model.adapters]
    return {
        key: digest_json({"base": base, "adapter": files[0] if files else {}, "beta": key})
        for key in map(beta_key, betas)
    }


def _decisive(adapter: Path) -> dict[str, str]:
    """The digests of the files that decide Delta, of whatever form the adapter is."""
    if adapter.is_file():
        return {adapter.name: sha256_file(adapter)}
    if holds_peft(adapter):
        # The configuration holds the scale of the matrices: it decides as much as they do.
        return {name: sha256_file(adapter / name) for name in (CONFIG, WEIGHTS)}
    return {
        path.relative_to(adapter).as_posix(): sha256_file(path)
        for path in sorted(adapter.rglob("*"))
        if path.suffix == ".safetensors" or path.name.endswith(DESCRIPTIONS)
    }
