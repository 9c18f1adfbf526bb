"""A switch: the base as it is, the adapter beside it, and a router that goes by a prompt's language."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ggez_hub.families import Family
from ggez_hub.families.family import quoted
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.forms import get_adapter_form
from ggez_hub.merging.forms.adapter_facts import facts_of
from ggez_hub.merging.forms.base import FormBase
from ggez_hub.merging.forms.runtimes import answers
from ggez_hub.merging.merge import Adapter
from ggez_hub.merging.side_files import copy_file, copy_side_files
from ggez_hub.regions.text_language import LABELS, accepted_languages, lone_script_letters

BASE, ADAPTER, ROUTER, SETTINGS = "base", "adapter", "router.py", "router.json"
# In which programs two models can be switched between, and how the router is used there.
USES = {
    "PEFT": "with routed(model, prompt): ...  # prompt: what the user wrote",
    "diffusers": "with routed(pipeline, prompt): image = pipeline(prompt).images[0]",
    "vLLM": "# ask with model=served_model(prompt), or in Python with lora_request(prompt)",
}

Wrote = Callable[[int], None] | None


def write_switch(
    adapter: Path, beta: float, base: FormBase, languages: Iterable[str], out: Path, wrote: Wrote
) -> None:
    """Write base, adapter (with beta folded in) and router into the empty folder `out`.

    `languages` (BCP 47) are those whose prompts go to the adapter. Raises what the adapter form does.
    """
    assert base.folder is not None  # noqa: S101 - a switch reads all of the base
    copy_model(base.folder, base.family, out / BASE, wrote)
    (out / ADAPTER).mkdir()
    get_adapter_form(base.family.adapter_form).write(Adapter(adapter, beta), base, out / ADAPTER)
    copy_file(Path(__file__).with_name(ROUTER), out / ROUTER)
    settings: dict[str, Any] = {
        "languages": sorted(accepted_languages(languages)),
        "scripts": lone_script_letters(),
        "labels": LABELS,
    }
    text = json.dumps(settings, indent=1, sort_keys=True)
    (out / SETTINGS).write_text(text + "\n", encoding="utf-8")


def copy_model(source: Path, family: Family, out: Path, wrote: Wrote) -> None:
    """Copy the model in a folder. Its layout and headers are checked: it has to load, and be data."""
    layout = family.layout(source)
    index = WeightIndex(source, layout.weights)
    copy_side_files(source, out, layout)
    for path in layout.weights:
        copy_file(source / path, out / path)
        if wrote is not None:
            wrote(index.files[path].nbytes)


def switch_lines(family: Family, folder: Path, shown: str) -> tuple[str, ...]:
    """Python, and a command, that load the switch in `folder`, which people write as `shown`."""
    base, adapter = folder / BASE, f"{shown}/{ADAPTER}"
    facts = facts_of(
        family.adapter_form, family.name, f"{shown}/{BASE}", "", folder / ADAPTER, adapter
    )
    found = [f"# prompts in its languages go to the adapter: see {shown}/{ROUTER}"]
    found += ["import sys", f"sys.path.insert(0, {quoted(shown)})"]
    found += ["from router import lora_request, routed, served_model"]
    for name, answer in answers(facts).items():
        if name not in USES or answer.status not in {"yes", "flag"}:
            continue
        lines = answer.lines
        if name == "PEFT":
            opened = family.loading_lines(family.layout(base), f"{shown}/{BASE}")
            lines = (
                *opened,
                lines[0],
                f"model = PeftModel.from_pretrained(model, {quoted(facts.folder)})",
            )
        if name == "vLLM":
            lines = tuple(f"# {line}" for line in lines)
        found += [f"# {name}", *lines, USES[name]]
    return tuple(found)
