"""Vision-language models: supervised fine-tuning on chats about pictures, the loss on replies only.

Before it, if the recipe asks for it, continued pre-training on texts and captions, the loss on every
token of the text.
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
from ggez_hub.training.backend import Loss, ModuleTree, TrainingBackend, TrainingModule, sum_losses
from ggez_hub.training.chat_tokens import UNLEARNED, ChatTokenizer, pad_rows
from ggez_hub.training.examples import reply_problem
from ggez_hub.training.lora import linear_modules
from ggez_hub.training.recipe import Count, Data, Optimiser, Positive, Stage, TrainRecipe

TUNE, CPT = "tune", "cpt"
# The length of an example in `--plan`, the tokens of its picture among them.
PLANNED_TOKENS = 1024


class Pretraining(FrozenModel):
    """Continued pre-training, by default with the optimiser of the fine-tuning."""

    data: Data
    epochs: Positive = 1.0
    max_steps: Count | None = None
    optimiser: Optimiser | None = None


class VlmRecipe(TrainRecipe):
    """`caption_prompts` are the questions to examples that are captions, chosen by an example's id."""

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

    vision: Literal["frozen", "trained"] = "frozen"
    caption_prompts: list[Text] = Field(default=["Describe the picture."], min_length=1)
    cpt: Pretraining | None = None

    @property
    def stages(self) -> list[Stage]:
        """Continued pre-training, if the recipe has it, then the fine-tuning."""
        if self.cpt is None:
            return super().stages
        first = self.cpt
        optimiser = first.optimiser or self.optimiser
        return [
            Stage(CPT, "cpt.data", first.data, first.epochs, first.max_steps, optimiser),
            *super().stages,
        ]


class VlmModule(TrainingModule):
    """A model of transformers that generates text, with its processor."""

    def __init__(self, model: Any, chats: ChatTokenizer, prompts: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self._chats = chats
        self._prompts = prompts
        self._stage = TUNE
        # Of the pictures; the factors that PEFT adds have another one.
        self._dtype: torch.dtype = model.dtype
        words = chats.processor.tokenizer
        self._pad: int = next(
            t for t in (words.pad_token_id, words.eos_token_id, 0) if t is not None
        )
        self._cuts = "logits_to_keep" in inspect.signature(model.forward).parameters

    def begin(self, stage: str) -> None:
        self._stage = stage

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {"groups": list(pad_rows([self._encode(row) for row in rows], self._pad))}

    def forward(self, **batch: Any) -> Loss:
        return sum_losses([self._loss(group) for group in batch["groups"]])

    def _loss(self, group: dict[str, torch.Tensor]) -> Loss:
        inputs = {n: v.to(self._dtype) if v.is_floating_point() else v for n, v in group.items()}
        labels = inputs.pop("labels")
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

    def _encode(self, row: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        picture = None if row["image"] is None else to_rgb(row["image"]["bytes"])
        has_picture = picture is not None
        if self._stage == CPT:
            segments = self._chats.plain_text(row["text"], picture=has_picture)
        else:
            segments = self._chats.chat(self._messages(row), picture=has_picture)
        return self._chats.encode(segments, picture)

    def _messages(self, row: Mapping[str, Any]) -> list[Mapping[str, str]]:
        """A chat; a caption answers one of the prompts, always the same one."""
        messages = list(row["messages"])
        if any(message["role"] == "user" for message in messages):
            return messages
        number = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "big")
        prompt = self._prompts[number % len(self._prompts)]
        return [{"role": "user", "content": prompt}, *messages]


def _with_config(tree: ModuleTree, config: object) -> tuple[str, ...]:
    """The prefixes of the modules whose configuration is of the type of `config`."""
    return tuple(
        f"{path}." if path else ""
        for path, module in tree.items()
        if config is not None and type(getattr(module, "config", None)) is type(config)
    )


def _vision(tree: ModuleTree) -> tuple[str, ...]:
    root: Any = tree[""]
    return _with_config(tree, getattr(root.config, "vision_config", None))


def _learns(recipe: VlmRecipe, tree: ModuleTree) -> Callable[[str], bool]:
    frozen = _vision(tree) if recipe.vision == "frozen" else ()
    return lambda path: not path.startswith(frozen)


def _targets(recipe: VlmRecipe, tree: ModuleTree) -> list[str]:
    """The linear layers of the language model, and of the vision tower if it is trained; no head."""
    root: Any = tree[""]
    parts = _with_config(tree, root.config.get_text_config())
    if recipe.vision == "trained":
        parts += _vision(tree)
    head = root.get_output_embeddings()
    return [
        path for path in linear_modules(tree) if path.startswith(parts) and tree[path] is not head
    ]


def _open(folder: Path, recipe: VlmRecipe, dtype: torch.dtype) -> VlmModule:
    processor = open_processing(folder, "AutoProcessor")
    if not getattr(processor, "chat_template", None):
        raise NotLoaded(
            f"{folder} has no chat template, so that it is not known how to ask it",
            "Use a model that was tuned on instructions.",
        )
    chats = ChatTokenizer(processor)
    chats.check()
    return VlmModule(open_model(folder, SEES, dtype), chats, recipe.caption_prompts)


def _trace(recipe: VlmRecipe, tree: ModuleTree, n: int) -> object:
    """Tokens are those of texts; a vision tower that is frozen keeps nothing."""
    model: Any = tree[""]
    model.set_attn_implementation("sdpa")
    tokens = torch.zeros(n, PLANNED_TOKENS, dtype=torch.long)
    logits = model(input_ids=tokens, use_cache=False).logits
    loss = cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())
    if recipe.vision == "frozen":
        return loss
    size = model.config.vision_config.image_size
    return loss, model.get_image_features(pixel_values=torch.zeros(n, 3, size, size))


BACKEND = TrainingBackend(
    recipe=VlmRecipe,
    learns=_learns,
    targets=_targets,
    open=_open,
    row_problem=reply_problem,
    trace=_trace,
)
