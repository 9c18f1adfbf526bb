"""Models of transformers and what feeds them, opened from local files, which are not trusted.

No code of the repository, no pickle, nothing made up: what the folder lacks is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    import torch


VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
GENERATION = "generation_config.json"
# What transformers raises for a folder that it cannot read, and safetensors for a file that was cut.
BROKEN = (OSError, RuntimeError, ValueError, KeyError, ImportError, SafetensorError)


class NotLoaded(GgezError):
    """The library does not compute with the weights that the folder holds."""


def open_model(
    folder: Path, auto: str, dtype: torch.dtype | str, state: Mapping[str, Any] | None = None
) -> Any:
    """The model that the Auto class named `auto` loads, in evaluation mode.

    `dtype` is as transformers takes it: "auto" is the one that is stored. `state` are the weights,
    under the names of the folder's, in place of those that are stored. Raises NotLoaded where
    transformers cannot load the folder, or would make weights up.
    """
    import transformers

    options: dict[str, Any] = {
        "dtype": dtype,
        "local_files_only": True,
        "trust_remote_code": False,
        "output_loading_info": True,
    }
    loader = getattr(transformers, auto)
    transformers.utils.logging.disable_progress_bar()
    try:
        if state is None:
            model, report = loader.from_pretrained(folder, use_safetensors=True, **options)
        else:
            model, report = _with_state(loader, folder, dict(state), options)
    except BROKEN as error:
        raise NotLoaded(f"transformers cannot load {folder}: {error}") from error
    if lost := sorted(report["missing_keys"]):
        raise NotLoaded(f"{folder} lacks weights of the model: {', '.join(lost[:3])}")
    return model.eval()


def _with_state(
    loader: Any, folder: Path, state: dict[str, Any], options: dict[str, Any]
) -> tuple[Any, Any]:
    """Load weights from memory, through the conversions that those of the folder would get."""
    import transformers
    from transformers.models.auto.auto_factory import _get_model_class

    config = transformers.AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    # An Auto class looks into a folder, which it may not be given beside the weights.
    kind = _get_model_class(config, loader._model_mapping)
    model, report = kind.from_pretrained(None, config=config, state_dict=state, **options)
    if (folder / GENERATION).is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(
            folder, local_files_only=True
        )
    return model, report


def open_processing(folder: Path, auto: str) -> Any:
    """The processor, image processor or tokenizer that the Auto class named `auto` loads.

    Raises NotLoaded where there is none: of a tokenizer transformers would make one up that has no
    words, without a warning.
    """
    import transformers

    if auto == "AutoTokenizer" and not any((folder / name).is_file() for name in VOCABULARIES):
        raise NotLoaded(
            f"{folder} holds no tokenizer", f"It should hold one of {', '.join(VOCABULARIES)}."
        )
    try:
        return getattr(transformers, auto).from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except BROKEN as error:
        raise NotLoaded(f"transformers cannot load {folder}: {error}") from error


IDS, MASK = "input_ids", "attention_mask"


def prompt_inputs(
    processor: Any, images: Sequence[Any], prompts: Sequence[str]
) -> dict[str, torch.Tensor]:
    """The inputs of n prompts with a picture each, or none at all; padded where they are several."""
    words = processor.tokenizer
    # A template that writes the first token itself must not get it twice.
    begun = bool(words.bos_token) and prompts[0].startswith(words.bos_token)
    inputs = dict(
        processor(
            images=[[image] for image in images] or None,
            text=list(prompts),
            add_special_tokens=not begun,
            padding=len(prompts) > 1,
            return_tensors="pt",
        )
    )
    shape = inputs[IDS].shape
    closed = bool((inputs[IDS][:, -1] == words.eos_token_id).all())
    if closed and not prompts[0].endswith(words.eos_token):
        # The tokenizer closed texts that go on.
        inputs = {n: v[:, :-1] if v.shape == shape else v for n, v in inputs.items()}
    return inputs
