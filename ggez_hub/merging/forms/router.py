"""Which of two models answers a prompt: the adapter those in its languages, the base all others.

Written by ggez-hub beside `base/` and `adapter/`. It sees the text alone, as the measured switch did: a
script of one language decides, else py3langid does (`pip install py3langid`). `router.json` has the
languages and the scripts. Give it what the user wrote, without a chat template.

    from router import lora_request, routed, served_model

    with routed(model, prompt):  # a PeftModel, or a pipeline of diffusers with the LoRA loaded
        model.generate(...)
    llm.generate(prompt, lora_request=lora_request(prompt))  # vLLM in Python
    client.chat.completions.create(model=served_model(prompt), ...)  # a vLLM server with --lora-modules

Of a batch, sort the prompts by `takes_adapter` first: an adapter is on or off for all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# How much of a text is looked at, and the share of its letters from which a script decides.
SCRIPT_LETTERS, TEXT_LETTERS, CLEAR = 400, 1000, 0.9


@cache
def settings() -> dict[str, Any]:
    """`languages` take the adapter; `scripts` and `labels` are of all that are distinguished."""
    found: dict[str, Any] = json.loads((HERE / "router.json").read_text(encoding="utf-8"))
    found["scripts"] = {tag: re.compile(f"[{each}]") for tag, each in found["scripts"].items()}
    return found


@cache
def identifier() -> Any:
    """py3langid's model."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(prompt: str) -> str:
    """The language of a text (BCP 47)."""
    head = prompt[:SCRIPT_LETTERS]
    counts = {tag: len(own.findall(head)) for tag, own in settings()["scripts"].items()}
    likely = max(counts, key=counts.__getitem__)
    others = sum(map(str.isalpha, settings()["scripts"][likely].sub("", head)))
    if counts[likely] and counts[likely] >= CLEAR * (counts[likely] + others):
        return likely
    label: str = identifier().classify(prompt[:TEXT_LETTERS])[0]
    return str(settings()["labels"].get(label, label))


def takes_adapter(prompt: str) -> bool:
    """Whether a prompt is in one of the adapter's languages."""
    return language(prompt) in settings()["languages"]


@contextmanager
def routed(model: Any, prompt: str) -> Iterator[Any]:
    """The model with its adapter on or off, as the prompt asks."""
    if takes_adapter(prompt):
        yield model
    elif hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            yield model
    else:
        model.disable_lora()
        try:
            yield model
        finally:
            model.enable_lora()


def lora_request(prompt: str) -> Any:
    """LoRARequest of vLLM, or None for the base."""
    from vllm.lora.request import LoRARequest

    return LoRARequest("region", 1, str(HERE / "adapter")) if takes_adapter(prompt) else None


def served_model(prompt: str, base: str = str(HERE / "base")) -> str:
    """The name of the model on a vLLM server with `--lora-modules region=.../adapter`."""
    return "region" if takes_adapter(prompt) else base
