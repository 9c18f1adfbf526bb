"""The libraries: Python, the core, the extras, and the versions that were tested."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ggez_hub.installation import NAME, CheckResult
from ggez_hub.quantities import counted, first_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# What each extra gives.
EXTRAS = {
    "merge": "merged models",
    "fast": "faster merges of large models",
    "eval": "evaluation",
    "data": "the quality filter",
    "train": "training",
    "trackio": "a dashboard of losses",
    "scale": "tasks on a Ray cluster; output on S3",
    "ci": "the registry's workflows",
    "sign": "signatures",
}
SEVERAL = 6


def packages() -> Iterator[CheckResult]:
    """Python, the core, each extra, and what differs from the versions that were tested."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    result = partial(CheckResult, "packages")
    try:
        package = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        found = "runs from a folder: its requirements are unknown"
        yield result(NAME, "note", found, f"pip install {NAME}")
        return
    wanted, here = package.metadata["Requires-Python"] or "", platform.python_version()
    if SpecifierSet(wanted).contains(here, prereleases=True):
        yield result("python", "ok", f"{here} ({sys.executable})")
    else:
        yield result("python", "broken", f"{here}, not {wanted}", "Install another.")
    required = _required(package, "")
    if off := _mismatches(required):
        yield result("core", "broken", off, f"pip install --upgrade {NAME}")
    else:
        yield result("core", "ok", f"{NAME} {package.version}, {len(required)} libraries")
    for extra, gives in EXTRAS.items():
        required = _required(package, extra)
        off = _mismatches(required)
        state: Literal["note", "ok"] = "note" if off else "ok"
        found = f"{gives}: {off or counted(len(required), 'library', 'libraries')}"
        fix = f"pip install '{NAME}[{extra}]'" if off else ""
        yield CheckResult("extras", extra, state, found, fix)
    # Constraints stand beside the package in a checkout alone.
    constraints = Path(__file__).parents[2] / "constraints.txt"
    if constraints.is_file():
        lines = constraints.read_text(encoding="utf-8").splitlines()
        pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
        # The extras report what is not installed.
        if others := _mismatches(pinned, missing=False):
            found = f"others than were tested: {others}"
            yield result("versions", "note", found, f"pip install -c {constraints.name} {NAME}")
        else:
            yield result("versions", "ok", "those that the tests were last seen to pass")


def _required(package: metadata.Distribution, extra: str) -> list[Requirement]:
    """What the core requires, or what an extra requires beside it, on this machine."""
    from packaging.requirements import Requirement

    every = [Requirement(line) for line in package.requires or ()]
    return [
        found
        for found in every
        if (found.marker is None) == (not extra)
        and (found.marker is None or found.marker.evaluate({"extra": extra}))
    ]


def _mismatches(required: list[Requirement], *, missing: bool = True) -> str:
    """Libraries that are missing or of another version, at most SEVERAL of them; empty if none."""
    found = []
    for library in required:
        try:
            here = metadata.version(library.name)
        except metadata.PackageNotFoundError:
            found += [f"no {library.name}"] if missing else []
            continue
        if not library.specifier.contains(here, prereleases=True):
            found.append(f"{library.name} is {here}, not {library.specifier}")
    return first_of(found, SEVERAL)
