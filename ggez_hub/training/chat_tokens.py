"""Chats as tokens: which of them a model says itself, and learns.

The chat is written by the model's own template and cut where its replies begin and end. What is
before a reply is tokenised as it is when the model is asked; the reply follows token by token. So
the model learns to go on from what it will see.
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

PROBE = tuple(
    {"role": role, "content": text}
    for role, text in (
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
        ("assistant", "four"),
    )
)


class Segment(NamedTuple):
    """A piece of a text, and whether it is learned."""

    text: str
    learned: bool


class BadTemplate(NotLoaded):
    """A chat template does not write a chat as the beginning of a longer one."""


@dataclass(frozen=True)
class ChatWriter:
    """A processor with a chat template."""

    processor: Any

    def chat(self, messages: Sequence[Mapping[str, str]], *, picture: bool) -> list[Segment]:
        """A chat in segments: replies are learned, with the mark of their end.

        The picture stands before the first message of the user. Raises BadTemplate.
        """
        written = ""
        segments: list[Segment] = []
        turns = _turns(messages, picture=picture)
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            asked = self._render(turns[:number], reply=True)
            replied = self._render(turns[: number + 1], reply=False)
            if not asked.startswith(written) or not replied.startswith(asked):
                raise BadTemplate(
                    "the chat template does not write a chat as the beginning of a longer one",
                    "What the model has to learn cannot be told from what it is asked.",
                )
            reply = replied[len(asked) :].rstrip()
            if reply.endswith(message["content"].strip()):
                # Nothing says where a reply ends: the model would not learn to stop.
                reply += self.processor.tokenizer.eos_token or ""
            segments += [Segment(asked[len(written) :], False), Segment(reply, True)]
            written = replied.rstrip()
        return segments

    def check(self) -> None:
        """Raise BadTemplate if the template cannot write chats that are learned from."""
        self.chat(PROBE, picture=True)

    def plain(self, text: str, *, picture: bool) -> list[Segment]:
        """A text all of which is learned, after its picture; no template but the picture's mark."""
        words = self.processor.tokenizer
        start = self._mark() if picture else ""
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
            inputs = {n: _continued(n, v, new, inputs[IDS].shape) for n, v in inputs.items()}
            learned = new if segment.learned else torch.full_like(new, UNLEARNED)
            labels = torch.cat([labels, learned], dim=1)
        return {**inputs, "labels": labels}

    def _render(self, turns: Sequence[Mapping[str, Any]], *, reply: bool) -> str:
        text: str = self.processor.apply_chat_template(
            list(turns), add_generation_prompt=reply, tokenize=False
        )
        return text

    def _mark(self) -> str:
        """How the template marks where a picture stands."""
        said = [{"role": "user", "content": "x"}]
        with_picture = self._render(_turns(said, picture=True), reply=False)
        without = self._render(_turns(said, picture=False), reply=False)
        start = next(
            (n for n, (a, b) in enumerate(zip(with_picture, without, strict=False)) if a != b),
            len(without),
        )
        return with_picture[start : start + len(with_picture) - len(without)]


def padded(rows: Sequence[dict[str, Tensor]], pad: int) -> Iterator[dict[str, Tensor]]:
    """Rows in batches that go through a model together: those whose pictures are of one make.

    What has a value for each token is filled up after its end; pictures stand row after row.
    """
    groups: dict[Any, list[dict[str, Tensor]]] = {}
    for row in rows:
        groups.setdefault(_make(row), []).append(row)
    fill = {IDS: pad, "labels": UNLEARNED}
    for group in groups.values():
        longest = max(row[IDS].shape[1] for row in group)
        yield {
            name: torch.cat(
                [
                    torch.nn.functional.pad(
                        row[name], (0, longest - row[IDS].shape[1]), value=fill.get(name, 0)
                    )
                    if row[name].shape == row[IDS].shape
                    else row[name]
                    for row in group
                ]
            )
            for name in group[0]
        }


def _make(row: Mapping[str, Tensor]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The shapes of all that is no text; of the first axis, which counts, nothing."""
    ids = row[IDS].shape
    return tuple((n, () if v.shape == ids else tuple(v.shape[1:])) for n, v in sorted(row.items()))


def _continued(name: str, value: Tensor, new: Tensor, shape: torch.Size) -> Tensor:
    """An input that has a value for each token goes on: with ones in the mask, else as text has."""
    if value.shape != shape:
        return value
    after = {IDS: new, MASK: torch.ones_like(new)}.get(name, torch.zeros_like(new))
    return torch.cat([value, after.to(value.dtype)], dim=1)


def _turns(messages: Sequence[Mapping[str, str]], *, picture: bool) -> list[dict[str, Any]]:
    """Messages with content in parts, as templates of models that see take them."""
    turns: list[dict[str, Any]] = [
        {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages
    ]
    if picture:
        first = next(turn for turn in turns if turn["role"] == "user")
        first["content"].insert(0, {"type": "image"})
    return turns
