"""The forms in which a pull can come: a merged model, or an adapter with beta folded in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging.forms import write_peft
from ggez_hub.merging.merge import Adapter, merge_into, require_engine, require_method
from ggez_hub.registry.resolution import Resolution

Wrote = Callable[[int], None] | None


@dataclass(frozen=True)
class Form:
    """How a resolution becomes a folder.

    needs_base     whether the base's weights are fetched and written again
    check          raises before anything is fetched if it cannot be done
    write          (resolution, base folder or None, adapters, folder, wrote)
    loading_lines  (resolution, folder as people write it, folder) -> Python
    front          the Hub's keys that say what the result is
    """

    needs_base: bool
    check: Callable[[Resolution], None]
    write: Callable[[Resolution, Path | None, Sequence[Adapter], Path, Wrote], None]
    loading_lines: Callable[[Resolution, str, Path], tuple[str, ...]]
    front: Callable[[Resolution, Path], dict[str, Any]]


def get_form(name: str) -> Form:
    """The form of that name; raises UsageProblem that lists what there is."""
    if name not in FORMS:
        raise UsageProblem(f"there is no form {name!r}", f"Forms: {', '.join(FORMS)}.")
    return FORMS[name]


def _check_merged(resolution: Resolution) -> None:
    require_method(resolution.method)
    require_engine()


def _write_merged(
    resolution: Resolution,
    base: Path | None,
    adapters: Sequence[Adapter],
    folder: Path,
    wrote: Wrote,
) -> None:
    assert base is not None  # noqa: S101 - needs_base
    merge_into(folder, base, adapters, get_family(resolution.family), resolution.method, wrote)


def merged_lines(resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
    """Python that loads the model in `folder`, which people write as `shown`."""
    family = get_family(resolution.family)
    return family.loading_lines(family.layout(folder), shown)


def _merged_front(resolution: Resolution, folder: Path) -> dict[str, Any]:
    return {
        # A list of bases means a merge on the Hub.
        "base_model": [resolution.merged_into.repo, *(a.source.repo for a in resolution.adapters)],
        "base_model_relation": "merge",
        "library_name": get_family(resolution.family).layout(folder).library,
    }


def _check_peft(resolution: Resolution) -> None:
    if len(resolution.adapters) != 1:
        raise UsageProblem("--as peft takes one adapter", "Take the merged form: leave out --as.")


def _write_peft(
    resolution: Resolution,
    base: Path | None,
    adapters: Sequence[Adapter],
    folder: Path,
    wrote: Wrote,
) -> None:
    (adapter,) = adapters
    base_repo = resolution.merged_into
    write_peft(adapter.folder, adapter.beta, base_repo.repo, base_repo.revision, folder)


def _peft_lines(resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
    base = resolution.merged_into
    return (
        "from peft import PeftModel",
        f'model = PeftModel.from_pretrained(base_model, "{shown}")'
        f"  # base_model: {base.repo} at {base.revision[:12]}",
    )


def _peft_front(resolution: Resolution, folder: Path) -> dict[str, Any]:
    return {
        "base_model": resolution.merged_into.repo,
        "base_model_relation": "adapter",
        "library_name": "peft",
    }


FORMS: dict[str, Form] = {
    "merged": Form(True, _check_merged, _write_merged, merged_lines, _merged_front),
    "peft": Form(False, _check_peft, _write_peft, _peft_lines, _peft_front),
}
