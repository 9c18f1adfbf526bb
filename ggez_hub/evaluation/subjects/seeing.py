"""Vision-language models of transformers: how likely replies are, and what they say.

The model sees the picture and the question in its own chat template. An option's score is the mean
log-likelihood of its tokens, so that a long option does not lose by its length. Replies are written by
greedy decoding.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.extras import require
from ggez_hub.evaluation.subjects.generating import Posed
from ggez_hub.evaluation.subjects.loading import Adapted, late_weights
from ggez_hub.families import Family
from ggez_hub.families.loading import NotLoaded, open_model, open_processing
from ggez_hub.families.prompts import IDS, MASK, prompt_inputs
from ggez_hub.families.vlm import SEES
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch

# Questions that go through the model together.
BATCH = 8


class _Row(NamedTuple):
    """A prompt with one option after it: the prompt's inputs (1, t), and the option's tokens."""

    question: int
    inputs: dict[str, torch.Tensor]
    own: list[int]


class SeeingModel:
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
        require("transformers", "PIL")
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
        self._model = open_model(folder, SEES, dtype, state).requires_grad_(False).to(self._device)
        self._cuts = "logits_to_keep" in inspect.signature(self._model.forward).parameters

    def prompt(self, question: str) -> str:
        """The question as the model gets it, up to where its reply begins."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        return prompt

    def log_likelihoods(self, posed: Sequence[Posed]) -> list[list[float]]:
        """The mean log-likelihood (natural, <= 0) of the tokens of each option of each question."""
        found: list[list[float]] = []
        for start in range(0, len(posed), BATCH):
            batch = posed[start : start + BATCH]
            rows = [row for number, p in enumerate(batch) for row in self._rows(number, p)]
            scores: list[list[float]] = [[] for _ in batch]
            # Pictures of different make, as of more or fewer tiles, do not go together.
            for _, alike in groupby(rows, key=_make):
                together = list(alike)
                for row, score in zip(together, self._scores(together), strict=True):
                    scores[row.question].append(score)
            found += scores
        return found

    def replies(self, posed: Sequence[Posed]) -> list[str]:
        """What the model says to each question, by greedy decoding."""
        found: list[str] = []
        # Beside those that may be as long, so that no reply depends on its neighbours.
        for new_tokens, alike in groupby(posed, key=lambda p: p.new_tokens):
            together = list(alike)
            for start in range(0, len(together), BATCH):
                found += self._replies(together[start : start + BATCH], new_tokens)
        return found

    def _replies(self, posed: Sequence[Posed], new_tokens: int) -> list[str]:
        import torch

        inputs = prompt_inputs(
            self._processor, [_image(p.picture) for p in posed], [p.prompt for p in posed]
        )
        inputs = {name: value.to(self._device) for name, value in inputs.items()}
        words = self._processor.tokenizer
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                max_new_tokens=new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=words.pad_token_id,
            )
        said = tokens[:, inputs[IDS].shape[1] :]
        replies: list[str] = words.batch_decode(said, skip_special_tokens=True)
        return replies

    def _rows(self, number: int, posed: Posed) -> list[_Row]:
        inputs = prompt_inputs(self._processor, [_image(posed.picture)], [posed.prompt])
        # A reply begins with a space where the prompt does not end with one.
        lead = "" if posed.prompt[-1:].isspace() else " "
        return [_Row(number, inputs, self._tokens(lead + option)) for option in posed.options]

    def _scores(self, rows: Sequence[_Row]) -> list[float]:
        import torch

        batch = {name: _joined(name, rows).to(self._device) for name in rows[0].inputs}
        starts = [row.inputs[IDS].shape[1] - 1 for row in rows]
        cut = min(starts) if self._cuts else 0
        keep = {"logits_to_keep": batch[IDS].shape[1] - cut} if self._cuts else {}
        with torch.inference_mode():
            logits = self._model(**batch, **keep).logits
            scores = []
            for row, start, line in zip(rows, starts, logits, strict=True):
                said = line[start - cut : start - cut + len(row.own)].float()
                found = torch.log_softmax(said, dim=-1).cpu()
                places = torch.arange(len(row.own)), torch.tensor(row.own)
                scores.append(found[places].double().mean().item())
        return scores

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._processor.tokenizer(text, add_special_tokens=False)[IDS]
        if not tokens:
            raise NotLoaded(f"the tokenizer gives no tokens for {text!r}")
        return tokens


def _image(picture: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(picture)).convert("RGB")


def _make(row: _Row) -> list[tuple[str, tuple[int, ...]]]:
    """The shapes of all that is no text; of the first axis, which counts, nothing."""
    ids = row.inputs[IDS].shape
    return [(n, tuple(v.shape[1:])) for n, v in row.inputs.items() if v.shape != ids]


def _joined(name: str, rows: Sequence[_Row]) -> torch.Tensor:
    """An input of all rows: what has a value for each token is (n, the longest), filled after it.

    After a prompt come the tokens of its option, with ones in the mask, and with the zeros of text
    in what else there is for each token. What is no text, as the picture, stands row after row.
    """
    import torch

    values = [row.inputs[name] for row in rows]
    if values[0].shape != rows[0].inputs[IDS].shape:
        return torch.cat(values)
    longest = max(v.shape[1] + len(row.own) for v, row in zip(values, rows, strict=True))
    joined = torch.zeros((len(rows), longest), dtype=values[0].dtype)
    for place, (value, row) in enumerate(zip(values, rows, strict=True)):
        start, end = value.shape[1], value.shape[1] + len(row.own)
        joined[place, :start] = value[0]
        if name == IDS:
            joined[place, start:end] = torch.tensor(row.own)
        elif name == MASK:
            joined[place, start:end] = 1
    return joined
