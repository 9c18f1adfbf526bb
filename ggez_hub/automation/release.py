"""A release: tag, versions, the section of the changelog, and the files that were built agree."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from ggez_hub.errors import GgezError
from ggez_hub.quantities import counted

CHANGELOG = "CHANGELOG.md"
# `## 1.2.0 (2026-12-01)`
SECTION = re.compile(r"^## (?P<version>\S+)(?: \((?P<date>.*)\))?[ \t]*$", re.MULTILINE)
OWN_VERSION = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """What a tag releases: the version, its date (ISO 8601), and what the changelog says of it."""

    name: str
    version: str
    date: str
    notes: str


def check_release(repository: Path, tag: str, dist: Path | None = None) -> Release:
    """The release that `tag` names; `dist` is a folder with the wheel and sdist built from it.

    Raises GgezError, which lists everything that does not agree.
    """
    try:
        project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
        name, version = project["project"]["name"], project["project"]["version"]
        changelog = (repository / CHANGELOG).read_text(encoding="utf-8")
        package = repository / name.replace("-", "_") / "__init__.py"
        own = OWN_VERSION.search(package.read_text(encoding="utf-8"))
    except (ValueError, KeyError, OSError) as error:
        raise GgezError(f"{repository} cannot be released: {error}") from error
    section = SECTION.search(changelog)
    problems = [*_version_problems(tag, version, own[1] if own else "")]
    notes = _notes(changelog, section) if section else ""
    problems += _changelog_problems(version, section, notes)
    problems += _dist_problems(name, version, dist) if dist is not None else []
    if problems or section is None:
        raise GgezError(
            f"{tag} is not released:\n  " + "\n  ".join(problems),
            "Correct the files, commit, and move the tag: "
            f"git tag -f v{version} && git push -f origin v{version}",
        )
    return Release(name, version, section["date"], notes)


def _version_problems(tag: str, version: str, own: str) -> Iterator[str]:
    try:
        canonical = str(Version(version))
    except InvalidVersion:
        canonical = ""
    if version != canonical:
        yield f"pyproject.toml: {version!r} is not a version as PyPI writes it (PEP 440)"
    if tag != f"v{version}":
        yield f"the tag is {tag}, and the version in pyproject.toml asks for v{version}"
    if own != version:
        yield f"__version__ is {own or 'missing'}, and the version in pyproject.toml is {version}"


def _changelog_problems(version: str, section: re.Match[str] | None, notes: str) -> Iterator[str]:
    if section is None or section["version"] != version:
        there = section["version"] if section else "none"
        yield f"{CHANGELOG}: its first section is {there}, not `## {version} (YYYY-MM-DD)`"
        return
    try:
        datetime.date.fromisoformat(section["date"] or "")
    except ValueError:
        found = section["date"] or "nothing"
        yield f"{CHANGELOG}: {version} has {found} where its date stands: `## {version} (YYYY-MM-DD)`"
    if not notes:
        yield f"{CHANGELOG}: the section of {version} is empty"


def _notes(changelog: str, section: re.Match[str]) -> str:
    after = SECTION.search(changelog, section.end())
    return changelog[section.end() : after.start() if after else None].strip()


def _dist_problems(name: str, version: str, dist: Path) -> Iterator[str]:
    """One wheel and one sdist of the version, and nothing else: all of the folder is uploaded."""
    kinds = []
    for file in sorted(dist.iterdir()) if dist.is_dir() else []:
        try:
            if file.suffix == ".whl":
                found, built, *_ = parse_wheel_filename(file.name)
            else:
                found, built = parse_sdist_filename(file.name)
        except (InvalidWheelFilename, InvalidSdistFilename):
            yield f"{file} is neither a wheel nor a source distribution"
            continue
        kinds.append(file.suffix)
        if (found, str(built)) != (canonicalize_name(name), version):
            yield f"{file} is of {found} {built}, not of {name} {version}"
    if sorted(kinds) != [".gz", ".whl"]:
        yield f"{dist}: {counted(kinds.count('.whl'), 'wheel')} and {counted(kinds.count('.gz'), 'sdist')}, not one of each"
