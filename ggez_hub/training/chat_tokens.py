"""Chats as tokens: which of them the model writes itself, and learns.

The chat is written by the model's own template and cut where its replies begin and end. What is
before a reply is tokenised as when the model is asked; the reply follows token by token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ggez_hub.families.pretrained import IDS, MASK, NotLoaded, prompt_inputs

# What torch's cross entropy leaves out.
UNLEARNED = -100

# A chat of two questions and answers, whose texts are the names of the roles.
PROBE = [{"role": role, "content": role} for role in ("user", "assistant") * 2]


class Segment(NamedTuple):
    """A piece of a text, and whether it is learned."""

    text: str
    learned: bool


@dataclass(frozen=True)
class ChatTokenizer:
    """A processor with a chat template."""

    processor: Any

    def chat(self, messages: Sequence[Mapping[str, str]], *, picture: bool) -> list[Segment]:
        """A chat in segments: replies are learned, with the mark of their end.

        The picture stands before the first message of the user. Raises NotLoaded for a template that
        does not write a chat as the beginning of a longer one.
        """
        written = ""
        segments: list[Segment] = []
        turns = _turns(messages, picture=picture)
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(turns[:number], reply=True)
            replied = self._render(turns[: number + 1], reply=False)
            if not prompt.startswith(written) or not replied.startswith(prompt):
                raise NotLoaded(
                    "the chat template does not write a chat as the beginning of a longer one",
                    "The replies that the model has to learn cannot be found in such a chat.",
                )
            reply = replied[len(prompt) :].rstrip()
            if reply.endswith(message["content"].strip()):
                # Nothing marks the end of a reply: the model would not learn to stop.
                reply += self.processor.tokenizer.eos_token or ""
            segments += [Segment(prompt[len(written) :], False), Segment(reply, True)]
            written = replied.rstrip()
        return segments

    def check(self) -> None:
        """Raise NotLoaded if the template cannot write chats that are learned from."""
        self.chat(PROBE, picture=True)

    def plain_text(self, text: str, *, picture: bool) -> list[Segment]:
        """A text all of which is learned, after the template's mark of its picture."""
        words = self.processor.tokenizer
        start = self._picture_mark() if picture else ""
        if not start:
            # Something has to stand before the first token that is learned.
            start = words.bos_token or words.eos_token or ""
        return [Segment(start, False), Segment(text + (words.eos_token or ""), True)]

    def encode(self, segments: Sequence[Segment], picture: Any | None) -> dict[str, Tensor]:
        """Tokens (1, t) with their mask, `labels` of the same shape, and the picture's tensors."""
        first, *others = segments
        inputs = prompt_inputs(self.processor, [] if picture is None else [picture], [first.text])
        labels = torch.full_like(inputs[IDS], UNLEARNED)
        for segment in others:
            new = self.processor.tokenizer(
                segment.text, add_special_tokens=False, return_tensors="pt"
            )[IDS].to(inputs[IDS].dtype)
            # Inputs that have a value for each token go on: other ones than ids and mask with zeros.
            after = {IDS: new, MASK: torch.ones_like(new)}
            shape = inputs[IDS].shape
            inputs = {
                name: torch.cat([v, after.get(name, torch.zeros_like(new)).to(v.dtype)], dim=1)
                if v.shape == shape
                else v
                for name, v in inputs.items()
            }
            learned = new if segment.learned else torch.full_like(new, UNLEARNED)
            labels = torch.cat([labels, learned], dim=1)
        return {**inputs, "labels": labels}

    def _render(self, turns: Sequence[Mapping[str, Any]], *, reply: bool) -> str:
        text: str = self.processor.apply_chat_template(
            list(turns), add_generation_prompt=reply, tokenize=False
        )
        return text

    def _picture_mark(self) -> str:
        """What the template writes where a picture stands."""
        message = [{"role": "user", "content": "x"}]
        with_picture = self._render(_turns(message, picture=True), reply=False)
        without = self._render(_turns(message, picture=False), reply=False)
        start = next(
            (n for n, (a, b) in enumerate(zip(with_picture, without, strict=False)) if a != b),
            len(without),
        )
        return with_picture[start : start + len(with_picture) - len(without)]


def pad_rows(rows: Sequence[dict[str, Tensor]], pad: int) -> Iterator[dict[str, Tensor]]:
    """Rows in batches that go through a model together: those whose pictures have equal shapes.

    What has a value for each token is padded at its end; pictures stand row after row.
    """
    groups: dict[Any, list[dict[str, Tensor]]] = {}
    for row in rows:
        groups.setdefault(_picture_shapes(row), []).append(row)
    fill = {IDS: pad, "labels": UNLEARNED}
    for group in groups.values():
        longest = max(row[IDS].shape[1] for row in group)
        batch: dict[str, list[Tensor]] = {}
        for row in group:
            missing = (0, longest - row[IDS].shape[1])
            for name, value in row.items():
                of_text = value.shape == row[IDS].shape
                padding = missing if of_text else (0, 0)
                batch.setdefault(name, []).append(
                    torch.nn.functional.pad(value, padding, value=fill.get(name, 0))
                )
        yield {name: torch.cat(values) for name, values in batch.items()}


def _picture_shapes(row: Mapping[str, Tensor]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The names of a row's inputs with their shapes but for the first axis; () for those of text."""
    ids = row[IDS].shape
    return tuple((n, () if v.shape == ids else tuple(v.shape[1:])) for n, v in sorted(row.items()))


def _turns(messages: Sequence[Mapping[str, str]], *, picture: bool) -> list[dict[str, Any]]:
    """Messages with content in parts, as the templates of vision-language models take them."""
    turns: list[dict[str, Any]] = [
        {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages
    ]
    if picture:
        first = next(turn for turn in turns if turn["role"] == "user")
        first["content"].insert(0, {"type": "image"})
    return turns
