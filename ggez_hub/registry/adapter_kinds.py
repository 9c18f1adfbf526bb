"""Kinds of adapters: what of a repository is fetched, and in which forms the result can come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family, Read, UnknownLayout
from ggez_hub.merging.adapters import task_vector
from ggez_hub.merging.adapters.peft_config import CONFIG
from ggez_hub.merging.adapters.peft_folder import WEIGHTS
from ggez_hub.quantities import counted
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.result_forms import FORMS, AsIsForm, ResultForm, get_form

# `Resolution.method` where nothing is merged.
AS_IS_METHOD = "as_is"


@dataclass(frozen=True)
class AdapterKind:
    """How adapters of a kind are taken.

    noun      what people call it
    is_model  its repository holds a model: configuration and side files are fetched with the
              weights, as those of a base
    combined  it is a Delta, which a base and a beta apply to; otherwise it is taken as it is
    listed    the files that hold it, of the paths of a repository whose card records none
    forms     the forms in which the result can come, by the names of --as
    lacking   why it comes in no other form
    """

    noun: str
    is_model: bool
    combined: bool
    listed: Callable[[Collection[str], Family, Read], tuple[str, ...]]
    forms: Mapping[str, ResultForm]
    lacking: str = ""


def get_kind(name: str) -> AdapterKind:
    """The kind of that name; the schema of the card admits no other."""
    return KINDS[name]


def form_of(resolution: Resolution) -> ResultForm:
    """The form in which a resolution comes; raises UsageProblem if its kind has no such form."""
    kind = get_kind(resolution.adapters[0].kind)
    get_form(resolution.form)
    if resolution.form not in kind.forms:
        raise UsageProblem(
            f"{resolution.adapters[0].source.repo} {kind.lacking}",
            f"Forms: {', '.join(kind.forms)}.",
        )
    return kind.forms[resolution.form]


def _model_listed(paths: Collection[str], family: Family, read: Read) -> tuple[str, ...]:
    return family.listed_weights(paths, read)


def _lora_listed(paths: Collection[str], family: Family, read: Read) -> tuple[str, ...]:
    """A PEFT folder, or the one LoRA file of a repository; raises UnknownLayout."""
    peft = (CONFIG, WEIGHTS)
    if set(peft) <= set(paths):
        return peft
    files = [path for path in paths if path.endswith(".safetensors")]
    if len(files) != 1:
        raise UnknownLayout(f"it has {counted(len(files), 'safetensors file')} and no {CONFIG}")
    return tuple(files)


def _vector_listed(paths: Collection[str], family: Family, read: Read) -> tuple[str, ...]:
    """The two files of a task vector; raises UnknownLayout."""
    vector = (task_vector.MANIFEST, task_vector.WEIGHTS)
    if missing := [path for path in vector if path not in paths]:
        raise UnknownLayout(f"it has no {missing[0]}")
    return vector


_MERGED_ONLY = {"merged": FORMS["merged"]}
_EXTRACT = "comes merged only: `ggez-hub extract` makes a LoRA of it, and reports what that loses"

KINDS: Mapping[str, AdapterKind] = {
    "lora": AdapterKind("a LoRA", is_model=False, combined=True, listed=_lora_listed, forms=FORMS),
    "task_vector": AdapterKind(
        "a task vector",
        is_model=False,
        combined=True,
        listed=_vector_listed,
        forms=_MERGED_ONLY,
        lacking=f"is a task vector, which {_EXTRACT}",
    ),
    "finetune": AdapterKind(
        "a full fine-tune",
        is_model=True,
        combined=True,
        listed=_model_listed,
        forms=_MERGED_ONLY,
        lacking=f"is a full fine-tune, which {_EXTRACT}",
    ),
    "merged": AdapterKind(
        "a merged model",
        is_model=True,
        combined=False,
        listed=_model_listed,
        forms={"merged": AsIsForm()},
        lacking="is a merged model, taken as it is: its adapter cannot be separated",
    ),
}
