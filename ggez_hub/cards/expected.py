"""Expected values: commits and digests of a repository as others record them, not read from the hub.

They are not pins: nothing is fetched by them. The first contact with the hub compares them with what it
lists, and `ci pin` writes what is true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ggez_hub.cards.values import UNKNOWN, FilePath, OrUnknown, RepoId, Sha256, Text, Unknown
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.quantities import counted
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.validation_errors import written_as

RECIPE = "expected.yaml"
Commit = Annotated[str, written_as(r"^[0-9a-f]{40}$", "a commit: 40 hexadecimal digits")]


class ExpectedFile(FrozenModel):
    """A file by its digest; its size in bytes where that is known too."""

    sha256: Sha256
    size: OrUnknown[int] = UNKNOWN


class Expected(FrozenModel):
    """What a repository is expected to hold, and who says so.

    revision  the commit that `main` was when it was recorded
    source    how many public files record it, and of what kind: nobody here has read the hub
    """

    revision: Commit | Unknown
    files: OrUnknown[Annotated[dict[FilePath, ExpectedFile], Field(min_length=1)]] = UNKNOWN
    source: Text


class ListedFile(NamedTuple):
    """A file as the hub lists it; `sha256` is known of large files."""

    size: int
    sha256: str | None


def differences(
    expected: Expected,
    repo: str,
    revision: str,
    listed: Mapping[str, ListedFile],
    *,
    partial: bool = False,
) -> Iterator[str]:
    """How a repository at the commit `revision` differs from what is expected, a sentence each.

    partial: `listed` has a part of its files only, and says nothing about the others
    """
    files = {} if expected.files == UNKNOWN else expected.files
    if partial:
        files = {path: file for path, file in files.items() if path in listed}
    changed = [text for path, file in files.items() if (text := _changed(path, file, listed))]
    if expected.revision not in (UNKNOWN, revision):
        same = f"; {' and '.join(files)} as expected" if files and not changed else ""
        yield (
            f"{repo} is at the commit {revision[:12]}, {expected.revision[:12]} was expected "
            f"({expected.source}){same}"
        )
    for text in changed:
        yield f"{repo}@{revision[:12]} {text} ({expected.source})"


def _changed(path: str, file: ExpectedFile, listed: Mapping[str, ListedFile]) -> str:
    found = listed.get(path)
    if found is None:
        return f"has no {path}, which was expected"
    if found.sha256 != file.sha256:
        seen = (found.sha256 or UNKNOWN)[:12]
        return f"has {path} with the sha256 {seen}, {file.sha256[:12]} was expected"
    if file.size not in (UNKNOWN, found.size):
        return f"has {path} with {counted(found.size, 'byte')}, {file.size:,} were expected"
    return ""


class ExpectedRecipe(FrozenModel, strict=False):
    """recipes/expected.yaml: models of the Hub by their repository."""

    kind: Literal["expected"]
    models: dict[RepoId, Expected]


@cache
def expected_models() -> Mapping[str, Expected]:
    """What is expected of the models that recipes and cards name."""
    return read_recipe(recipes_folder() / RECIPE, "expected", ExpectedRecipe).models
