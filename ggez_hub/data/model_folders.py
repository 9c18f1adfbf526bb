"""Models that a spec names: a folder, or a repository of the Hub at a commit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ggez_hub.digests import digest_json, sha256_file
from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from ggez_hub.hub import Hub, RepoAtCommit

Library = Literal["transformers", "open_clip"]
SUFFIXES = (".json", ".txt", ".model", ".jinja")
OPEN_CLIP = "open_clip"


class NoModel(GgezError):
    """A model cannot be used: it is not there, or has no safetensors."""


@dataclass(frozen=True)
class ModelFolder:
    """A model's files on this machine; `name` says what it is: its commit, or its weights."""

    path: Path
    name: str


def model_folder(model: str, revision: str, base: Path, library: Library) -> ModelFolder:
    """The folder `model` (relative paths start from `base`), or the repository of that name.

    Of a repository only safetensors, configurations and tokenizers are fetched, at the commit that
    `revision` means now. Raises NoModel, and what the Hub's client raises.
    """
    local = base / model
    if local.is_dir():
        return ModelFolder(local, f"{local.name} (weights {weights_digest(local)[:12]})")
    hub, at = _on_hub(model, revision)
    wanted = [file for file in at.files if _wanted(file.path, library)]
    if not any(file.path.endswith(".safetensors") for file in wanted):
        raise NoModel(
            f"{model} has no safetensors that {library} reads",
            "Pickled weights are not loaded: take a model, or a revision, that has safetensors.",
        )
    return ModelFolder(hub.fetch(model, at.revision, wanted), f"{model}@{at.revision[:12]}")


def model_identity(model: str, revision: str, base: Path) -> str:
    """What identifies a model with all that decides what it says: its commit, or its files' sha256.

    Raises as `model_folder`.
    """
    local = base / model
    if not local.is_dir():
        _, at = _on_hub(model, revision)
        return f"{model}@{at.revision}"
    named = [path for path in sorted(local.iterdir()) if path.suffix in {*SUFFIXES, ".safetensors"}]
    return digest_json([(path.name, sha256_file(path)) for path in named if path.is_file()])


def _on_hub(model: str, revision: str) -> tuple[Hub, RepoAtCommit]:
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise NoModel(
            f"there is no model {model!r}",
            "Give a folder (relative paths start from the spec) or the id of a Hub repository.",
        )
    from ggez_hub.hub import Hub

    hub = Hub.of_environment()
    return hub, hub.at_commit(model, revision)


def weights_digest(folder: Path) -> str:
    """The sha256 of the sha256s of a folder's safetensors; raises NoModel if it has none."""
    digests = sorted(sha256_file(path) for path in folder.glob("*.safetensors"))
    if not digests:
        raise NoModel(f"{folder} has no safetensors", "Pickled weights are not loaded.")
    return digest_json(digests)


def same_model(first: str, second: str, base: Path) -> bool:
    """Whether two names mean one model: the same repository, or folders with the same weights."""
    if first.strip("/").casefold() == second.strip("/").casefold():
        return True
    places = [base / first, base / second]
    if not all(place.is_dir() for place in places):
        return False
    digests = [set(_digests(place)) for place in places]
    return bool(digests[0]) and digests[0] == digests[1]


def _digests(folder: Path) -> Iterator[str]:
    return (sha256_file(path) for path in folder.glob("*.safetensors"))


def _wanted(path: str, library: Library) -> bool:
    if "/" in path:
        return False
    if path.endswith(".safetensors"):
        # Some repositories have the same weights twice, for either library.
        return path.startswith(OPEN_CLIP) == (library == "open_clip")
    return path.endswith(SUFFIXES)
