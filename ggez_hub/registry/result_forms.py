"""The forms in which a pull can come: a merged model, an adapter with beta folded in, or a switch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family, get_family
from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase, Need, get_adapter_form
from ggez_hub.merging.forms.adapter_facts import AdapterFacts, facts_of
from ggez_hub.merging.forms.base import not_a_pipeline
from ggez_hub.merging.forms.runtimes import loading_lines
from ggez_hub.merging.forms.switch import BASE as SWITCH_BASE
from ggez_hub.merging.forms.switch import Wrote, copy_model, switch_lines, write_switch
from ggez_hub.merging.merge import Adapter, merge_into, tensor_names
from ggez_hub.merging.methods import Method
from ggez_hub.registry.resolution import PinnedFile, Resolution


@dataclass(frozen=True)
class Inputs:
    """Folders on this machine; `base` is None where none of it was read."""

    base: Path | None
    adapters: Sequence[Adapter]


class ResultForm:
    """How a resolution becomes a folder; this class is the merged model.

    parts      what is written of a base and an adapter: the base (merged or not), the adapter
    is_switch  base and adapter stay two models, between which a prompt's language decides
    merges     whether it is computed by the merge engine
    """

    parts = frozenset({"base"})
    is_switch = False
    merges = True

    def need(self, adapter: Path | None) -> Need:
        """What of the base is read for an adapter's folder, as AdapterForm.need."""
        return Need.WEIGHTS

    def check(self, resolution: Resolution) -> None:
        """Raise if the resolution alone shows that it cannot be done."""
        Method.parse(resolution.method)

    def write(self, resolution: Resolution, inputs: Inputs, folder: Path, wrote: Wrote) -> None:
        base = _checked_base(resolution, inputs)
        assert base is not None  # noqa: S101 - need
        family = _family(resolution)
        merge_into(
            folder,
            base,
            inputs.adapters,
            family,
            resolution.method,
            wrote,
            out_dtype=resolution.out_dtype,
        )

    def loading_lines(self, resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
        """Python that loads the result in `folder`, which people write as `shown`."""
        family = _family(resolution)
        return family.loading_lines(family.layout(folder), shown)

    def front(self, resolution: Resolution, folder: Path) -> dict[str, Any]:
        adapters = (adapter.source.repo for adapter in resolution.adapters)
        return {
            # A list of bases means a merge on the Hub.
            "base_model": [resolution.merged_into.repo, *adapters],
            "base_model_relation": "merge",
            "library_name": _family(resolution).layout(folder).library,
        }

    def facts(self, resolution: Resolution, shown: str, folder: Path) -> AdapterFacts | None:
        """What an adapter form holds, which decides where it loads; None for models."""
        return None

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


class AsIsForm(ResultForm):
    """A merged model that is taken as it is: nothing is computed."""

    merges = False

    def need(self, adapter: Path | None) -> Need:
        return Need.NOTHING

    def check(self, resolution: Resolution) -> None:
        pass

    def write(self, resolution: Resolution, inputs: Inputs, folder: Path, wrote: Wrote) -> None:
        (adapter,) = inputs.adapters
        copy_model(adapter.folder, _family(resolution), folder, wrote)

    def front(self, resolution: Resolution, folder: Path) -> dict[str, Any]:
        return {
            "base_model": resolution.adapters[0].source.repo,
            "library_name": _family(resolution).layout(folder).library,
        }


class FoldedAdapter(ResultForm):
    """An adapter with beta folded in."""

    parts = frozenset({"adapter"})
    merges = False

    def __init__(self, name: str) -> None:
        self.form = get_adapter_form(name)

    def need(self, adapter: Path | None) -> Need:
        return self.form.need(adapter)

    def check(self, resolution: Resolution) -> None:
        _require_one(resolution)
        base, files = resolution.merged_into, resolution.adapters[0].source.files
        is_folder = resolution.form == "peft" and any(file.path == CONFIG for file in files)
        # A PEFT folder stays one, of whatever base.
        if not is_folder and all(file.path != MODEL_INDEX for file in base.files):
            raise not_a_pipeline(base.repo)

    def write(self, resolution: Resolution, inputs: Inputs, folder: Path, wrote: Wrote) -> None:
        (adapter,) = inputs.adapters
        base = _checked_base(resolution, inputs)
        self.form.write(adapter, _form_base(resolution, base), folder)

    def loading_lines(self, resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
        return loading_lines(self.facts(resolution, shown, folder))

    def front(self, resolution: Resolution, folder: Path) -> dict[str, Any]:
        return _adapter_front(resolution, "peft" if resolution.form == "peft" else "diffusers")

    def facts(self, resolution: Resolution, shown: str, folder: Path) -> AdapterFacts:
        base = resolution.merged_into
        form, family = resolution.form, resolution.family
        return facts_of(form, family, base.repo, base.revision, folder, shown)


class SwitchForm(ResultForm):
    """Base and adapter as two models: prompts in the adapter's languages go to the adapter."""

    parts = frozenset({"base", "adapter"})
    is_switch = True
    merges = False

    def check(self, resolution: Resolution) -> None:
        _require_one(resolution)

    def write(self, resolution: Resolution, inputs: Inputs, folder: Path, wrote: Wrote) -> None:
        (adapter,) = inputs.adapters
        base = _form_base(resolution, inputs.base)
        write_switch(adapter.folder, adapter.beta, base, resolution.languages, folder, wrote)

    def loading_lines(self, resolution: Resolution, shown: str, folder: Path) -> tuple[str, ...]:
        return switch_lines(_family(resolution), folder, shown)

    def front(self, resolution: Resolution, folder: Path) -> dict[str, Any]:
        return _adapter_front(resolution, _family(resolution).layout(folder / SWITCH_BASE).library)


def _family(resolution: Resolution) -> Family:
    return get_family(resolution.family)


def _form_base(resolution: Resolution, base: Path | None) -> FormBase:
    pinned = resolution.merged_into
    return FormBase(pinned.repo, pinned.revision, _family(resolution), base)


def _adapter_front(resolution: Resolution, library: str) -> dict[str, Any]:
    return {
        "base_model": resolution.merged_into.repo,
        "base_model_relation": "adapter",
        "library_name": library,
    }


def _require_one(resolution: Resolution) -> None:
    if len(resolution.adapters) != 1:
        raise UsageProblem(
            f"--as {resolution.form} takes one adapter", "Take the merged form: leave out --as."
        )
    if resolution.out_dtype:
        raise UsageProblem(
            f"--as {resolution.form} leaves the base as it is: --out-dtype has no meaning",
            "Leave it out.",
        )
    Method.parse(resolution.method).require_foldable(resolution.form)


def _checked_base(resolution: Resolution, inputs: Inputs) -> Path | None:
    """The folder of the base; raises UsageProblem where betas, which may be a lock's, are not its parts'."""
    if resolution.by_part:
        assert inputs.base is not None  # noqa: S101 - need
        names = tensor_names(inputs.base, _family(resolution))
        for pinned in resolution.adapters:
            if pinned.parts is not None:
                pinned.parts.require_same(names, pinned.weight or 0.0)
    return inputs.base


def get_form(name: str) -> ResultForm:
    """The form of that name; raises UsageProblem that lists what there is."""
    if name not in FORMS:
        raise UsageProblem(f"there is no form {name!r}", f"Forms: {', '.join(FORMS)}.")
    return FORMS[name]


READ: Mapping[Need, Callable[[str], bool]] = {
    Need.NOTHING: lambda path: False,
    Need.CONFIGURATION: lambda path: path.rpartition("/")[2] in {"model_index.json", "config.json"},
    Need.WEIGHTS: lambda path: True,
}

FORMS: dict[str, ResultForm] = {
    "merged": ResultForm(),
    **{name: FoldedAdapter(name) for name in ADAPTER_FORMS},
    "switch": SwitchForm(),
}
