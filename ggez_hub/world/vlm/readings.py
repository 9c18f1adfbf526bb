"""Other readings of the same model: the sum of the log-likelihoods, and the name that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.prepared import Prepared
from ggez_hub.evaluation.task import Task
from ggez_hub.world.deltas import deltas
from ggez_hub.world.place import Place
from ggez_hub.world.vlm.features import held_out_pictures
from ggez_hub.world.vlm.model import load_model

# Writing is slow: every sixth picture is enough to see what becomes of it.
STRIDE = 6
BATCH = 16
NEW_TOKENS = 20


def correct_by_sum(outcomes: Outcomes, asked: Prepared, tokenizer: Any) -> float:
    """The share in % that is right where options are scored by the sum instead of the mean.

    The sum follows from the recorded mean and the number of an option's tokens.
    """
    (chosen,) = (a for s, a in asked.asked.items() if s == "test")
    details = outcomes.details
    assert details is not None  # noqa: S101 - models that write record them
    right = 0
    for chat, means in zip(chosen.choices, details.log_likelihoods or (), strict=True):
        lengths = [
            len(tokenizer(f" {option}", add_special_tokens=False).input_ids)
            for option in chat.item.options
        ]
        sums = np.array(means) * np.array(lengths)
        best = np.flatnonzero(sums == sums.max())
        right += len(best) == 1 and int(best[0]) == chat.item.gold
    return 100 * right / len(outcomes)


@torch.inference_mode()
def written_names(
    place: Place, adapter: Path, tasks: Sequence[Task], betas: Sequence[float]
) -> dict[str, dict[float, tuple[int, int]]]:
    """Task id -> beta -> how many names are written exactly by greedy decoding, and of how many."""
    import pyarrow.parquet as pq

    model, processor = load_model(place.base)
    processor.tokenizer.padding_side = "left"
    delta, state = deltas(adapter), model.state_dict()
    base = {name: state[name].clone() for name in delta}
    found: dict[str, dict[float, tuple[int, int]]] = {}
    for beta in betas:
        for name, change in delta.items():
            state[name].copy_((base[name].double() + beta * change).half().float())
        for task in tasks:
            path = place.data / task.splits["test"]
            names = pq.read_table(path, columns=[task.columns.text])[task.columns.text].to_pylist()
            pictures = held_out_pictures(path)[::STRIDE]
            right = 0
            for start in range(0, len(pictures), BATCH):
                replies = _replies(model, processor, pictures[start : start + BATCH], task)
                golds = names[::STRIDE][start : start + BATCH]
                right += sum(
                    r.casefold() == g.casefold() for r, g in zip(replies, golds, strict=True)
                )
            found.setdefault(task.id, {})[beta] = (right, len(pictures))
    return found


def _replies(model: Any, processor: Any, pictures: Sequence[Any], task: Task) -> list[str]:
    content = [{"type": "image"}, {"type": "text", "text": task.question}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    inputs = processor(
        images=[[picture] for picture in pictures],
        text=[prompt] * len(pictures),
        add_special_tokens=False,
        return_tensors="pt",
    )
    tokens = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    said = tokens[:, inputs["input_ids"].shape[1] :]
    replies = processor.tokenizer.batch_decode(said, skip_special_tokens=True)
    return [reply.strip() for reply in replies]
