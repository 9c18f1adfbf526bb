"""The forms in which a pull can come: a merged model, an adapter with beta folded in, or a switch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase, Need, get_adapter_form
from ggez_hub.merging.forms.adapter_facts import AdapterFacts, facts_of
from ggez_hub.merging.forms.runtimes import loading_lines
from ggez_hub.merging.forms.switch import BASE as SWITCH_BASE
from ggez_hub.merging.forms.switch import switch_lines, write_switch
from ggez_hub.merging.merge import Adapter, merge_into, require_engine, tensor_names
from ggez_hub.merging.methods import require_method
from ggez_hub.registry.resolution import PinnedFile, Resolution

Wrote = Callable[[int], None] | None


@dataclass(frozen=True)
class ResultForm:
    """How a resolution becomes a folder.

    need           what of the base is read for an adapter, as AdapterForm.need
    check          raises before anything is fetched if it cannot be done
    write          (resolution, base folder if any of it was read, adapters, folder, wrote)
    loading_lines  (resolution, folder as people write it, folder) -> Python
    front          the Hub's keys that say what the result is
    facts          (resolution, folder as people write it, folder) -> what an adapter form holds,
                   which decides where it loads; None for models
    parts          what is written of a base and an adapter: the base (merged or not), the adapter
    """

    need: Callable[[Path | None], Need]
    check: Callable[[Resolution], None]
    write: Callable[[Resolution, Path | None, Sequence[Adapter], Path, Wrote], None]
    loading_lines: Callable[[Resolution, str, Path], tuple[str, ...]]
    front: Callable[[Resolution, Path], dict[str, Any]]
    facts: Callable[[Resolution, str, Path], AdapterFacts] | None = None
    parts: frozenset[str] = frozenset({"base"})

    @property
    def is_switch(self) -> bool:
        """Whether base and adapter stay two models, between which a prompt's language decides."""
        return len(self.parts) > 1

    def reads(
        self, adapters: Sequence[Path | None], *, by_part: bool = False
    ) -> Callable[[str], bool]:
        """Which files of the base, by their path, are read for the adapters in these folders.

        A folder may hold only the adapter's configuration; None is an adapter that has none. Betas
        `by_part` are about the tensors of the base.
        """
        needs = [self.need(a) for a in adapters] + [Need.WEIGHTS] * by_part
        return READ[max(needs, key=lambda need: need.value)]

    def base_files(
        self, resolution: Resolution, adapters: Sequence[Path | None]
    ) -> tuple[PinnedFile, ...]:
        """The files of the base that are read for these adapters, as `reads` takes them."""
        if resolution.base is None:
            return ()
        reads = self.reads(adapters, by_part=resolution.by_part)
        return tuple(file for file in resolution.base.files if reads(file.path))


def get_form(name: str) -> ResultForm:
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
    assert base is not None  # noqa: S101 - need
    _require_same_parts(resolution, base)
    merge_into(folder, base, adapters, get_family(resolution.family), resolution.method, wrote)


def _require_same_parts(resolution: Resolution, base: Path | None) -> None:
    """Raise BadParts where the betas of a resolution, which may be a lock's, are not its parts'."""
    if resolution.by_part:
        assert base is not None  # noqa: S101 - need
        names = tensor_names(base, get_family(resolution.family))
        for pinned in resolution.adapters:
            if pinned.parts is not None:
                pinned.parts.require_same(names, pinned.weight or 0.0)


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


def _check_one(resolution: Resolution) -> None:
    if len(resolution.adapters) != 1:
        raise UsageProblem(
            f"--as {resolution.form} takes one adapter", "Take the merged form: leave out --as."
        )


def _form_base(resolution: Resolution, base: Path | None) -> FormBase:
    pinned = resolution.merged_into
    return FormBase(pinned.repo, pinned.revision, get_family(resolution.family), base)


def _write_switch(
    resolution: Resolution,
    base: Path | None,
    adapters: Sequence[Adapter],
    folder: Path,
    wrote: Wrote,
) -> None:
    (adapter,) = adapters
    named = _form_base(resolution, base)
    write_switch(adapter.folder, adapter.beta, named, resolution.languages, folder, wrote)


def _switch_lines(resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
    return switch_lines(get_family(resolution.family), folder, shown)


def _switch_front(resolution: Resolution, folder: Path) -> dict[str, Any]:
    return {
        "base_model": resolution.merged_into.repo,
        "base_model_relation": "adapter",
        "library_name": get_family(resolution.family).layout(folder / SWITCH_BASE).library,
    }


def _adapter_form(name: str) -> ResultForm:
    """One of the forms that are an adapter with beta folded in."""
    form = get_adapter_form(name)

    def write(
        resolution: Resolution,
        base: Path | None,
        adapters: Sequence[Adapter],
        folder: Path,
        wrote: Wrote,
    ) -> None:
        (adapter,) = adapters
        _require_same_parts(resolution, base)
        form.write(adapter, _form_base(resolution, base), folder)

    return ResultForm(
        form.need,
        _check_one,
        write,
        _adapter_lines,
        _adapter_front,
        _adapter_facts,
        frozenset({"adapter"}),
    )


def _adapter_facts(resolution: Resolution, shown: str, folder: Path) -> AdapterFacts:
    base = resolution.merged_into
    return facts_of(resolution.form, resolution.family, base.repo, base.revision, folder, shown)


def _adapter_lines(resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
    return loading_lines(_adapter_facts(resolution, shown, folder))


def _adapter_front(resolution: Resolution, folder: Path) -> dict[str, Any]:
    return {
        "base_model": resolution.merged_into.repo,
        "base_model_relation": "adapter",
        "library_name": "peft" if resolution.form == "peft" else "diffusers",
    }


READ: Mapping[Need, Callable[[str], bool]] = {
    Need.NOTHING: lambda path: False,
    Need.CONFIGURATION: lambda path: path.rpartition("/")[2] in {"model_index.json", "config.json"},
    Need.WEIGHTS: lambda path: True,
}

FORMS: dict[str, ResultForm] = {
    "merged": ResultForm(
        lambda adapter: Need.WEIGHTS, _check_merged, _write_merged, merged_lines, _merged_front
    ),
    **{name: _adapter_form(name) for name in ADAPTER_FORMS},
    "switch": ResultForm(
        lambda adapter: Need.WEIGHTS,
        _check_one,
        _write_switch,
        _switch_lines,
        _switch_front,
        parts=frozenset({"base", "adapter"}),
    ),
}
