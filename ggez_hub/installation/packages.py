"""Python, the libraries of the core and of the extras, against what the package asks for."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.installation import CheckResult

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NAME = "ggez-hub"
# What each gives; `all` is of these, `world` is for those who build the demo world anew.
EXTRAS = {
    "merge": "merged models",
    "eval": "evaluation",
    "data": "the quality filter",
    "train": "training",
    "trackio": "a dashboard of losses",
    "ci": "the registry's workflows",
}
SEVERAL = 6


def packages() -> Iterator[CheckResult]:
    """Python, the core, each extra, and what differs from the versions that were tested."""
    try:
        package = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        yield CheckResult(
            "packages", NAME, "note", "runs from a folder: what it asks for is unknown",
            f"pip install {NAME}",
        )  # fmt: skip
        return
    yield _python(package)
    yield _core(package)
    for extra, gives in EXTRAS.items():
        yield _extra(package, extra, gives)
    # Constraints stand beside the package in a checkout alone.
    tested = Path(__file__).parents[2] / "constraints.txt"
    if tested.is_file():
        yield _tested(tested)


def _python(package: metadata.Distribution) -> CheckResult:
    from packaging.specifiers import SpecifierSet

    asked = package.metadata["Requires-Python"] or ""
    here = platform.python_version()
    if not SpecifierSet(asked).contains(here, prereleases=True):
        return CheckResult(
            "packages", "python", "broken", f"{here}, not {asked}", "Install another."
        )
    return CheckResult("packages", "python", "ok", f"{here} ({sys.executable})")


def _core(package: metadata.Distribution) -> CheckResult:
    asked = _asked(package, "")
    off = [text for text in map(_off, asked) if text]
    if off:
        return CheckResult(
            "packages", "core", "broken", _several(off), f"pip install --upgrade {NAME}"
        )
    return CheckResult(
        "packages", "core", "ok", f"{NAME} {package.version}, {len(asked)} libraries"
    )


def _extra(package: metadata.Distribution, extra: str, gives: str) -> CheckResult:
    asked = _asked(package, extra)
    off = [text for text in map(_off, asked) if text]
    if not off:
        return CheckResult("extras", extra, "ok", f"{gives}: {len(asked)} libraries")
    return CheckResult(
        "extras", extra, "note", f"{gives}: {_several(off)}", f"pip install '{NAME}[{extra}]'"
    )


def _asked(package: metadata.Distribution, extra: str) -> list[Requirement]:
    """What the core asks for, or what an extra asks for beside it, on this machine."""
    from packaging.requirements import Requirement

    every = [Requirement(line) for line in package.requires or ()]
    return [
        found
        for found in every
        if (found.marker is None) == (not extra)
        and (found.marker is None or found.marker.evaluate({"extra": extra}))
    ]


def _off(asked: Requirement) -> str:
    """What is off with a library; empty where nothing is."""
    try:
        here = metadata.version(asked.name)
    except metadata.PackageNotFoundError:
        return f"no {asked.name}"
    if asked.specifier.contains(here, prereleases=True):
        return ""
    return f"{asked.name} is {here}, not {asked.specifier}"


def _tested(constraints: Path) -> CheckResult:
    from packaging.requirements import Requirement

    lines = constraints.read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    others = []
    for one in pinned:
        # What is not installed is told by the extras.
        off = _off(one)
        if off and not off.startswith("no "):
            others.append(off)
    if not others:
        return CheckResult(
            "packages", "versions", "ok", "those that the tests were last seen to pass"
        )
    return CheckResult(
        "packages", "versions", "note", f"others than were tested: {_several(others)}",
        f"pip install -c {constraints.name} {NAME}",
    )  # fmt: skip


def _several(texts: list[str]) -> str:
    more = f", and {len(texts) - SEVERAL} more" if len(texts) > SEVERAL else ""
    return ", ".join(texts[:SEVERAL]) + more
