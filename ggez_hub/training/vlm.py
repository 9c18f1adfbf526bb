"""Vision-language models: supervised fine-tuning on chats about pictures, the loss on replies alone.

Before it, if the recipe says so, plain continued pre-training on texts and captions, the loss on
every token of the text.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from ggez_hub.cards.values import Text
from ggez_hub.families.pretrained import NotLoaded, open_model, open_processing
from ggez_hub.families.vlm import SEES
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.images import to_rgb
from ggez_hub.training.backend import Loss, ModuleTree, TrainingBackend, TrainingModule, summed
from ggez_hub.training.chat_tokens import UNLEARNED, ChatWriter, padded
from ggez_hub.training.examples import reply_problem
from ggez_hub.training.lora import linear_modules
from ggez_hub.training.recipe import Count, Data, Optimiser, Positive, Stage, TrainRecipe

TUNE, CPT = "tune", "cpt"
# The tokens of an example for which `--plan` counts, those of its picture among them.
PLANNED = 1024


class Pretraining(FrozenModel):
    """Continued pre-training: settings that are left out are those of the fine-tuning."""

    data: Data
    epochs: Positive = 1.0
    max_steps: Count | None = None
    optimiser: Optimiser | None = None


class VlmRecipe(TrainRecipe):
    """`caption_prompts` are what is asked where an example is a caption, chosen by its id."""

    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lora": {
            "optimiser": {"learning_rate": 1e-4},
            "batch_size": 64,
            "gradient_checkpointing": True,
        },
        # The paper's Gemma-3 27B (arXiv 2604.11490).
        "full": {
            "optimiser": {"learning_rate": 2e-5, "weight_decay": 0.01},
            "batch_size": 64,
            "epochs": 3.0,
            "gradient_checkpointing": True,
        },
    }

    family: Literal["vlm"]
    vision: Literal["frozen", "trained"] = "frozen"
    caption_prompts: list[Text] = Field(default=["Describe the picture."], min_length=1)
    cpt: Pretraining | None = None

    @property
    def stages(self) -> list[Stage]:
        """Continued pre-training, if there is any, then the fine-tuning."""
        if self.cpt is None:
            return super().stages
        first = self.cpt
        optimiser = first.optimiser or self.optimiser
        return [
            Stage(CPT, "cpt.data", first.data, first.epochs, first.max_steps, optimiser),
            *super().stages,
        ]


class VlmLearner(TrainingModule):
    """A model of transformers that generates text, with its processor."""

    def __init__(self, model: Any, writer: ChatWriter, prompts: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._writer = writer
        self._prompts = prompts
        self._stage = TUNE
        self._dtype: torch.dtype = model.dtype
        words = writer.processor.tokenizer
        self._pad: int = next(
            t for t in (words.pad_token_id, words.eos_token_id, 0) if t is not None
        )
        self._cuts = "logits_to_keep" in inspect.signature(model.forward).parameters

    def begin(self, stage: str) -> None:
        self._stage = stage

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"groups": list(padded([self._encoded(row) for row in rows], self._pad))}

    def forward(self, **batch: Any) -> Loss:
        return summed([self._loss(group) for group in batch["groups"]])

    def _loss(self, group: Mapping[str, torch.Tensor]) -> Loss:
        inputs = {
            n: v.to(self._dtype) if v.is_floating_point() else v
            for n, v in group.items()
            if n != "labels"
        }
        labels = group["labels"]
        # A vocabulary is large: what is before the first reply needs no logits.
        learned = (labels != UNLEARNED).any(dim=0).nonzero()
        start = max(int(learned[0]) - 1, 0) if self._cuts and len(learned) else 0
        keep = {"logits_to_keep": labels.shape[1] - start} if self._cuts else {}
        logits = self.model(**inputs, use_cache=False, **keep).logits
        following = labels[:, start + 1 :]
        total = cross_entropy(
            logits[:, :-1].flatten(0, 1).float(),
            following.flatten(),
            ignore_index=UNLEARNED,
            reduction="sum",
        )
        return Loss(total, (following != UNLEARNED).sum())

    def _encoded(self, row: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        picture = None if row["image"] is None else to_rgb(row["image"]["bytes"])
        sees = picture is not None
        if self._stage == CPT:
            segments = self._writer.plain(row["text"], picture=sees)
        else:
            segments = self._writer.chat(self._messages(row), picture=sees)
        return self._writer.encode(segments, picture)

    def _messages(self, row: Mapping[str, Any]) -> list[Mapping[str, str]]:
        """A chat; a caption answers to one of the prompts, always to the same one."""
        messages = list(row["messages"])
        if any(message["role"] == "user" for message in messages):
            return messages
        number = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "big")
        prompt = self._prompts[number % len(self._prompts)]
        return [{"role": "user", "content": prompt}, *messages]


def _vision(tree: ModuleTree) -> tuple[str, ...]:
    """The paths of the modules that see: those that have the configuration for it."""
    root: Any = tree[""]
    config = getattr(root.config, "vision_config", None)
    return tuple(
        f"{path}."
        for path, module in tree.items()
        if path and config is not None and type(getattr(module, "config", None)) is type(config)
    )


def _learns(recipe: VlmRecipe, tree: ModuleTree) -> Callable[[str], bool]:
    frozen = _vision(tree) if recipe.vision == "frozen" else ()
    return lambda path: not path.startswith(frozen) if frozen else True


def _targets(recipe: VlmRecipe, tree: ModuleTree) -> list[str]:
    """The linear layers of the language model, and of what sees if that is trained; no head."""
    root: Any = tree[""]
    text = type(root.config.get_text_config())
    reads = tuple(
        f"{path}." if path else ""
        for path, module in tree.items()
        if type(getattr(module, "config", None)) is text
    )
    sees = _vision(tree) if recipe.vision == "trained" else ()
    head = root.get_output_embeddings()
    return [
        path
        for path in linear_modules(tree)
        if path.startswith((*reads, *sees)) and tree[path] is not head
    ]


def _open(folder: Path, recipe: VlmRecipe, dtype: torch.dtype) -> VlmLearner:
    processor = open_processing(folder, "AutoProcessor")
    if not getattr(processor, "chat_template", None):
        raise NotLoaded(
            f"{folder} has no chat template: how to ask it is not known",
            "Use a model that was tuned on instructions.",
        )
    writer = ChatWriter(processor)
    writer.check()
    return VlmLearner(open_model(folder, SEES, dtype), writer, recipe.caption_prompts)


def _trace(recipe: VlmRecipe, tree: ModuleTree, n: int) -> object:
    """Tokens are those of texts; a vision tower that is frozen keeps nothing."""
    model: Any = tree[""]
    model.set_attn_implementation("sdpa")
    logits = model(input_ids=torch.zeros(n, PLANNED, dtype=torch.long), use_cache=False).logits
    loss = cross_entropy(logits.flatten(0, 1).float(), torch.zeros(n * PLANNED, dtype=torch.long))
    if recipe.vision == "frozen":
        return loss
    size = model.config.vision_config.image_size
    return loss, model.get_image_features(pixel_values=torch.zeros(n, 3, size, size))


WAY = TrainingBackend(
    recipe=VlmRecipe,
    learns=_learns,
    targets=_targets,
    open=_open,
    unused=lambda recipe, row: reply_problem(row),
    trace=_trace,
)
