"""Pins: from `main` to its current commit, in cards and recipes; nothing else of them changes.

In a card, `files` and the base's `weights` are filled in where they were `unknown`: from the Hub's
listing, without fetching weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from ggez_hub.cards import AdapterCard, parse_card
from ggez_hub.cards.document import CardText
from ggez_hub.cards.expected import Expected, ListedFile, differences, expected_models
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.file_checks import NotFit, base_weights, listed_files
from ggez_hub.registry.local_merge.inputs import repository
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.yaml_text import KeyPath, Lines, with_values

BRANCH = "main"
# Keys whose value names a data set; every other repository is a model.
DATA_SETS = frozenset({"dataset", "hub"})
# Keys whose value may be `org/name@main` in a recipe.
MODELS = frozenset({"base", "adapter", "model"})


class NotPinned(GgezError):
    """The commit of a repository is not available; the file is unchanged."""


@dataclass(frozen=True)
class LoosePin:
    """A place that names the branch `main`; `inline` as `org/name@main`, else as a `revision`."""

    file: Path
    line: int
    repo: str
    repo_type: Literal["model", "dataset"]
    path: KeyPath
    inline: bool


def pinnable(repository: Path) -> list[Path]:
    """The accepted cards and the recipes of a registry, without those of the demo world and the paper."""
    recipes = [
        path
        for path in sorted((repository / "recipes").rglob("*.yaml"))
        if path.relative_to(repository).parts[1] not in {"demo", "papers"}
    ]
    return [*sorted((repository / "cards").glob("*/*/*.md")), *recipes]


def loose_places(file: Path) -> list[LoosePin]:
    """Where a card or a recipe names the branch `main` of a repository; raises BadCard, NotPinned."""
    before, text, _ = _yaml_of(file)
    try:
        loaded = load_mapping(text)
    except ValueError as error:
        raise NotPinned(f"{file} cannot be read: {error}") from error
    lines = Lines.of(text, before.count("\n") + 1)
    return [
        LoosePin(file, lines.of_key(path), repo, kind, path, inline)
        for path, repo, kind, inline in _walk(loaded, ())
    ]


Found: TypeAlias = tuple[KeyPath, str, Literal["model", "dataset"], bool]


def _walk(value: object, path: KeyPath) -> Iterator[Found]:
    named = str(path[-1]) if path else ""
    if isinstance(value, dict):
        repo = value.get("repo")
        if isinstance(repo, str) and value.get("revision") == BRANCH:
            kind: Literal["model", "dataset"] = "dataset" if named in DATA_SETS else "model"
            yield (*path, "revision"), repo, kind, False
        for key, inner in value.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, (*path, number))
    elif isinstance(value, str) and named in MODELS:
        place = repository(value)
        if place is not None and place[1] == BRANCH:
            yield path, place[0], "model", True


@dataclass(frozen=True)
class Pinner:
    """Pins files against one hub; a repository is asked once, so that all get the same commit.

    `differ` says in what a repository differs from what others record of it (recipes/expected.yaml, or
    the card).
    """

    hub: Hub
    differ: list[str] = field(default_factory=list, repr=False)
    _seen: dict[tuple[str, str], RepoAtCommit] = field(default_factory=dict, repr=False)

    def pin(self, file: Path) -> tuple[LoosePin, ...]:
        """Write the commits into a file; returns the places that changed.

        Raises NotPinned; on error the file is unchanged.
        """
        places = loose_places(file)
        if not places:
            return ()
        at = {place.path: self._at(place) for place in places}
        card = _card_in(file)
        for found in at.values():
            self._compare(found, expected_models().get(found.repo))
            if card is not None and card.base.repo == found.repo:
                self._compare(found, card.base.expected)
        values: dict[KeyPath, object] = {
            place.path: f"{place.repo}@{self.commit(place)}" if place.inline else self.commit(place)
            for place in places
        }
        before, text, after = _yaml_of(file)
        if card is not None:
            values |= dict(self._bytes_of(card, file, at))
        new = before + with_values(text, values) + after
        if card is not None:
            parse_card(new, str(file))
        file.write_text(new, encoding="utf-8", newline="\n")
        return tuple(places)

    def commit(self, place: LoosePin) -> str:
        """The commit of `main` for this pinner; raises NotPinned."""
        return self._at(place).revision

    def _at(self, place: LoosePin) -> RepoAtCommit:

        key, where = (place.repo, place.repo_type), f"{place.file} line {place.line}"
        try:
            if key not in self._seen:
                self._seen[key] = self.hub.at_commit(place.repo, BRANCH, place.repo_type)
            return self._seen[key]
        except GatedRepoError as error:
            raise NotPinned(
                f"{where}: {place.repo} is gated, and its files may not be listed",
                "The file stays as it was. Ask for access on its page, and set HF_TOKEN.",
            ) from error
        except HfHubHTTPError as error:
            raise NotPinned(
                f"{where}: {place.repo} is not on {self.hub.endpoint}, or private",
                "The file stays as it was.",
            ) from error

    def _compare(self, at: RepoAtCommit, expected: Expected | None) -> None:
        if expected is not None:
            listed = {file.path: ListedFile(file.size, file.sha256) for file in at.files}
            found = differences(expected, at.repo, at.revision, listed)
            self.differ.extend(text for text in found if text not in self.differ)

    def _bytes_of(
        self, card: AdapterCard, file: Path, at: Mapping[KeyPath, RepoAtCommit]
    ) -> Iterator[tuple[KeyPath, Any]]:
        base = at.get(("ggez", "base", "revision"))
        adapter = at.get(("ggez", "adapter", "revision"))
        try:
            if base is not None and card.base.weights == "unknown":
                yield ("ggez", "base", "weights"), base_weights(base, card, self.hub)
            if adapter is not None and card.files == "unknown":
                yield ("ggez", "files"), self._records(adapter, card)
        except NotFit as problem:
            raise NotPinned(f"{file}: its adapter {problem.message}") from problem

    def _records(self, at: RepoAtCommit, card: AdapterCard) -> dict[str, dict[str, object]]:
        """Size and sha256 of the adapter's files; small ones, of which the hub lists none, are read."""
        records: dict[str, dict[str, object]] = {}
        for pinned in listed_files(at, card, self.hub):
            digest = pinned.sha256
            if digest is None:
                folder = self.hub.fetch(at.repo, at.revision, [pinned.as_hub_file()])
                digest = sha256_file(folder / pinned.path)
            records[pinned.path] = {"size": pinned.size, "sha256": digest}
        return records


def _card_in(file: Path) -> AdapterCard | None:
    """The card in a file, None for a recipe; raises BadCard."""
    if file.suffix != ".md":
        return None
    return parse_card(file.read_text(encoding="utf-8"), str(file)).card


def _yaml_of(file: Path) -> tuple[str, str, str]:
    """The text before a file's YAML, the YAML, and the text after it."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".md":
        return "", text, ""
    inner = CardText.of(text, str(file)).front_matter
    start = text.index(inner)
    return text[:start], inner, text[start + len(inner) :]
