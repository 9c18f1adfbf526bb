"""Vision-language models of transformers: how likely replies are, and which they write.

The model sees the picture and the question in its own chat template. An option's score is the mean
log-likelihood of its tokens, so that a long option does not lose by its length. Replies are written by
greedy decoding.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.benchmarks.multiple_choice import GENERATION, LIKELIHOOD, PMI
from ggez_hub.evaluation.models.backend import EvaluationBackend
from ggez_hub.evaluation.models.generative_model import GenerativeModel, Posed
from ggez_hub.evaluation.models.model_under_test import SwappableModel
from ggez_hub.evaluation.models.weight_swap import Adapted, late_weights
from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.pretrained import IDS, NotLoaded, open_model, open_processing, prompt_inputs
from ggez_hub.families.vlm import SEES
from ggez_hub.images import to_rgb
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch

# Questions that go through the model together.
BATCH = 8
# Options that go through it together where nothing else is asked: as many as those of eight questions.
OPTIONS = 4 * BATCH


class _Prompt(NamedTuple):
    """A prompt's inputs (1, t), and the tokens of each option as the reply to it."""

    inputs: dict[str, torch.Tensor]
    options: list[list[int]]

    @property
    def make(self) -> list[object]:
        """The shapes, which are equal for those that go through the model together: nothing is padded."""
        return [len(self.options), *((n, tuple(v.shape)) for n, v in self.inputs.items())]


class VisionModel:
    """A vision-language model of transformers in evaluation mode.

    On a GPU in the dtype that is stored; without one in float32.
    """

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        """Open local files only: no code of the repository, no pickle.

        Raises UsageProblem for a model that sees no pictures, NotLoaded where transformers cannot
        load the folder, would make weights up, or finds no chat template, and what opening the
        adapter raises.
        """
        require_engine()
        require("eval", "transformers", "PIL")
        import torch

        if family.layout(folder).loader != SEES:
            raise UsageProblem(f"{folder} holds a model that sees no pictures")
        gpu = torch.cuda.is_available()
        self._processor = open_processing(folder, "AutoProcessor")
        if not getattr(self._processor, "chat_template", None):
            raise NotLoaded(
                f"{folder} has no chat template: how to ask it is not known",
                "Use a model that was tuned on instructions.",
            )
        # The replies of a batch begin at the same place only if the prompts are padded before it.
        words = self._processor.tokenizer
        words.padding_side = "left"
        words.pad_token = words.pad_token or words.eos_token
        dtype = "auto" if gpu else torch.float32
        self._device = torch.device("cuda" if gpu else "cpu")
        state = late_weights(folder, family, adapted) if adapted else None
        self.model = open_model(folder, SEES, dtype, state).requires_grad_(False).to(self._device)
        self.state: Mapping[str, torch.Tensor] = self.model.state_dict()
        self._cuts = "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def prompt(self, question: str, sees: bool = True) -> str:
        picture = [{"type": "image"}] if sees else []
        return self._from_template([*picture, {"type": "text", "text": question}])

    def _from_template(self, content: list[dict[str, str]]) -> str:
        prompt: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return prompt

    def log_likelihoods(self, posed: Sequence[Posed]) -> list[list[float]]:
        found: list[list[float]] = []
        for start in range(0, len(posed), BATCH):
            prompts = [self.encode(p) for p in posed[start : start + BATCH]]
            for _, alike in groupby(prompts, key=lambda p: p.make):
                found += self._scores(list(alike))
        return found

    def unconditional(self, options: Sequence[str]) -> list[tuple[float, int]]:
        """Of each option as the reply to an empty message: the mean log-likelihood, and its tokens."""
        prompt = self._from_template([{"type": "text", "text": ""}])
        inputs = prompt_inputs(self._processor, [], [prompt])
        found: list[tuple[float, int]] = []
        for start in range(0, len(options), OPTIONS):
            tokens = [self._reply_tokens(prompt, o) for o in options[start : start + OPTIONS]]
            (scores,) = self._scores([_Prompt(inputs, tokens)])
            found += zip(scores, map(len, tokens), strict=True)
        return found

    def replies(self, posed: Sequence[Posed]) -> list[str]:
        found: list[str] = []
        # Beside those that may be as long, so that no reply depends on its neighbours.
        for (new_tokens, _), alike in groupby(posed, key=lambda p: (p.new_tokens, bool(p.picture))):
            together = list(alike)
            for start in range(0, len(together), BATCH):
                found += self._replies(together[start : start + BATCH], new_tokens)
        return found

    def _replies(self, posed: Sequence[Posed], new_tokens: int) -> list[str]:
        import torch

        inputs = prompt_inputs(
            self._processor,
            [to_rgb(p.picture) for p in posed if p.picture],
            [p.prompt for p in posed],
        )
        inputs = {name: value.to(self._device) for name, value in inputs.items()}
        words = self._processor.tokenizer
        with torch.inference_mode():
            tokens = self.model.generate(
                **inputs,
                max_new_tokens=new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=words.pad_token_id,
            )
        written = tokens[:, inputs[IDS].shape[1] :]
        replies: list[str] = words.batch_decode(written, skip_special_tokens=True)
        return replies

    def encode(self, posed: Posed) -> _Prompt:
        inputs = prompt_inputs(self._processor, [to_rgb(posed.picture)], [posed.prompt])
        return _Prompt(inputs, [self._reply_tokens(posed.prompt, o) for o in posed.options])

    def _reply_tokens(self, prompt: str, option: str) -> list[int]:
        """The tokens of a reply, which begins with a space where the prompt does not end with one."""
        text = option if prompt[-1:].isspace() else f" {option}"
        tokens: list[int] = self._processor.tokenizer(text, add_special_tokens=False)[IDS]
        if not tokens:
            raise NotLoaded(f"the tokenizer gives no tokens for {text!r}")
        return tokens

    def _scores(self, prompts: Sequence[_Prompt]) -> list[list[float]]:
        """The scores of the options; each prompt is read once, and its options go on from there."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        k = len(prompts[0].options)
        batch = {
            name: torch.cat([p.inputs[name] for p in prompts]).to(self._device)
            for name in prompts[0].inputs
        }
        replies = [own for p in prompts for own in p.options]
        ids = pad_sequence(list(map(torch.tensor, replies)), batch_first=True).to(self._device)
        keep = {"logits_to_keep": 1} if self._cuts else {}
        with torch.inference_mode():
            read = self.model(**batch, use_cache=True, **keep)
            logits = read.logits[:, -1:].repeat_interleave(k, dim=0)
            if ids.shape[1] > 1:
                read.past_key_values.batch_repeat_interleave(k)
                # Without a mask: no prompt is padded, and short options are padded at the end.
                after = self.model(input_ids=ids[:, :-1], past_key_values=read.past_key_values)
                logits = torch.cat([logits, after.logits], dim=1)
            found = torch.log_softmax(logits.float(), dim=-1).gather(2, ids.unsqueeze(2))
        scores = [
            line[: len(reply)].double().mean().item()
            for line, reply in zip(found.squeeze(2).cpu(), replies, strict=True)
        ]
        return [scores[start : start + k] for start in range(0, len(scores), k)]


def _open(
    folder: Path, family: Family, adapted: Adapted | None, known: AnswerCache
) -> SwappableModel:
    model = VisionModel(folder, family, adapted)
    return GenerativeModel(model, known, model.state)


BACKEND = EvaluationBackend((LIKELIHOOD, PMI, GENERATION), searches=False, open=_open)
