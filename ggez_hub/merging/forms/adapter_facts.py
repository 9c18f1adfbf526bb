"""What an adapter form holds, read from its files: what decides which program can load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ggez_hub.families import get_family
from ggez_hub.merging.adapters.lora_file import lora_path, read_lora
from ggez_hub.merging.adapters.lora_scales import Scales
from ggez_hub.merging.adapters.peft_config import alpha_of, is_off, scale_of
from ggez_hub.merging.adapters.peft_folder import LORA_BIAS, TOKENS, WEIGHTS, read_scaling_peft
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms.lycoris import PLAIN, form_of


@dataclass(frozen=True)
class LoraFact:
    """One LoRA: the path or the name of its module, its rank and its scale, beta included."""

    module: str
    rank: int
    scale: float
    convolution: bool = False
    embedding: bool = False


@dataclass(frozen=True)
class AdapterFacts:
    """An adapter form.

    form      peft, diffusers or kohya
    family    of the base; `base` is its name, `revision` its commit, nothing for a folder
    folder    where it is, as people write it; `file` is the file with the weights in it
    method    LORA, LOHA or LOKR of a PEFT folder; of a file LORA, or what else it holds
    loras     of the method LORA
    whole     the paths of parameters that are saved whole: modules_to_save, biases
    config    of a PEFT folder
    base_lines   Python that loads the base as `base_model`; nothing where it is not known
    """

    form: str
    family: str
    base: str
    revision: str
    folder: str
    file: str
    method: str
    loras: tuple[LoraFact, ...]
    whole: tuple[str, ...]
    lora_bias: bool
    tokens: bool
    config: dict[str, Any]
    base_lines: tuple[str, ...] = ()

    @property
    def generates(self) -> str:
        return get_family(self.family).generates

    def modules(self, chosen: Callable[[LoraFact], bool] = lambda _: True) -> list[str]:
        """The modules of the LoRAs that are `chosen`."""
        return [lora.module for lora in self.loras if chosen(lora)]

    @property
    def max_rank(self) -> int:
        return max((lora.rank for lora in self.loras), default=0)


def facts_of(
    form: str, family: str, base: str, revision: str, folder: Path, shown: str
) -> AdapterFacts:
    """The facts about the adapter form in `folder`, which people write as `shown`.

    Raises BadAdapter or BadWeights for a folder that is not what the form writes.
    """
    facts = partial(
        AdapterFacts, form=form, family=family, base=base, revision=revision, folder=shown
    )
    return (_of_peft if form == "peft" else _of_file)(folder, facts)


def _of_peft(folder: Path, facts: Callable[..., AdapterFacts]) -> AdapterFacts:
    peft = read_scaling_peft(folder)
    file, config, keys = peft.file, dict(peft.config), peft.keys
    method = str(config["peft_type"])
    loras = []
    stacked = not is_off(config.get("target_parameters"))
    for module, parts in keys.parts.items():
        for key in (parts[part] for part in ("lora_A", "lora_embedding_A") if part in parts):
            shape = file.tensors[key].shape
            if stacked:
                # Which parameter it is, and so its rank, is the base's to say.
                scale = alpha_of(config, module, file.path) / shape[0]
            else:
                scale = scale_of(config, module, shape[0], file.path)
            embedding = "lora_embedding_A" in parts
            loras.append(LoraFact(module, shape[0], scale, len(shape) > 2, embedding))
    return facts(
        file=WEIGHTS,
        method=method,
        loras=tuple(loras),
        whole=tuple(sorted(keys.saved)),
        lora_bias=any(LORA_BIAS in parts for parts in keys.parts.values()),
        tokens=any(TOKENS in parts for parts in keys.parts.values()),
        config=config,
    )


def _of_file(folder: Path, facts: Callable[..., AdapterFacts]) -> AdapterFacts:
    path = lora_path(folder)
    if path is None:
        raise BadAdapter(f"{folder} holds no LoRA file")
    lora = read_lora(path)
    scales = Scales.of(lora, ())
    others = sorted({form_of(module) for module in lora.modules} - {PLAIN})
    loras = []
    for module in lora.modules:
        if module.kind != "LoRA":
            continue
        shape = lora.file.tensors[module.parts["A"]].shape
        scale = scales.scale(module, module.name)
        loras.append(LoraFact(module.name, shape[0], scale, len(shape) > 2))
    return facts(
        file=path.name,
        method=" and ".join(others) or "LORA",
        loras=tuple(loras),
        whole=(),
        lora_bias=False,
        tokens=False,
        config={},
    )
