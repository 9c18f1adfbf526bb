"""Models that a spec names: a folder, or a repository of the Hub at a commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from ggez_hub.hub import Hub, RepoAtCommit

Library = Literal["open_clip", "transformers"]
SUFFIXES = (".json", ".txt", ".model", ".jinja")


@dataclass(frozen=True)
class ModelFolder:
    """A model's files on this machine; `name` has its commit, or the digest of its weights."""

    path: Path
    name: str


def model_folder(model: str, revision: str, base: Path, library: Library) -> ModelFolder:
    """The folder `model` (relative paths start from `base`), or the repository of that name.

    Of a repository only safetensors, configurations and tokenizers are fetched, at the commit that
    `revision` means now. Raises GgezError for a model that is not there or has no safetensors, and
    what the Hub's client raises.
    """
    local = base / model
    if local.is_dir():
        if not (digests := _weights(local)):
            raise GgezError(f"{local} has no safetensors", "Pickled weights are not loaded.")
        return ModelFolder(local, f"{local.name} (weights {digest_json(digests)[:12]})")
    hub, at = _on_hub(model, revision)
    wanted = [file for file in at.files if _is_wanted(file.path, library)]
    if not any(file.path.endswith(".safetensors") for file in wanted):
        raise GgezError(
            f"{model} has no safetensors that {library} reads",
            "Pickled weights are not loaded: take a model, or a revision, that has safetensors.",
        )
    return ModelFolder(hub.fetch(model, at.revision, wanted), f"{model}@{at.revision[:12]}")


def model_identity(model: str, revision: str, base: Path) -> str:
    """What decides the answers of a model: its commit, or its files' sha256; raises as `model_folder`."""
    local = base / model
    if not local.is_dir():
        return f"{model}@{_on_hub(model, revision)[1].revision}"
    named = [path for path in sorted(local.iterdir()) if path.suffix in {*SUFFIXES, ".safetensors"}]
    return digest_json([(path.name, sha256_file(path)) for path in named if path.is_file()])


def same_model(first: str, second: str, base: Path) -> bool:
    """Whether two names mean one model: the same repository, or folders with the same weights."""
    if first.strip("/").casefold() == second.strip("/").casefold():
        return True
    weights = [set(_weights(base / name)) for name in (first, second)]
    return bool(weights[0]) and weights[0] == weights[1]


def _on_hub(model: str, revision: str) -> tuple[Hub, RepoAtCommit]:
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise GgezError(
            f"there is no model {model!r}",
            "Give a folder (relative paths start from the spec) or the id of a Hub repository.",
        )
    from ggez_hub.hub import Hub

    hub = Hub.of_environment()
    return hub, hub.at_commit(model, revision)


def _weights(folder: Path) -> list[str]:
    """The sha256s of a folder's safetensors, sorted."""
    return sorted(sha256_file(path) for path in folder.glob("*.safetensors"))


def _is_wanted(path: str, library: Library) -> bool:
    if "/" in path:
        return False
    if path.endswith(".safetensors"):
        # Some repositories have the same weights twice, for either library.
        return path.startswith("open_clip") == (library == "open_clip")
    return path.endswith(SUFFIXES)
