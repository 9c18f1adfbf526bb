"""UnifiedReward's point score of a picture and its caption: what is asked, what is answered.

The prompt is the one that the model was trained with (CodeGoat24/UnifiedReward, MIT licence): with
another one it scores worse. The answer ends in "Final Score: " and a number from 1 to 5.
"""

from __future__ import annotations

import re

LOWEST, HIGHEST = 1.0, 5.0

PROMPT = (
    "You are given a text caption and a generated image based on that caption. Your task is to "
    "evaluate this image based on two key criteria:\n"
    "1. Alignment with the Caption: Assess how well this image aligns with the provided caption. "
    "Consider the accuracy of depicted objects, their relationships, and attributes as described "
    "in the caption.\n"
    "2. Overall Image Quality: Examine the visual quality of this image, including clarity, detail "
    "preservation, color accuracy, and overall aesthetic appeal.\n"
    "Based on the above criteria, assign a score from 1 to 5 after 'Final Score:'.\n"
    "Your task is provided as follows:\n"
    "Text Caption: [{caption}]"
)
# The whole number is read: "10" is no 1.
ANSWER = re.compile(r"Final Score:[\s*]*(\d+(?:\.\d+)?)", re.IGNORECASE)


def asked(caption: str) -> str:
    """The prompt for a caption."""
    return PROMPT.replace("{caption}", caption)


def final_score(answer: str) -> float | None:
    """The score that an answer ends with, 1 to 5; None if it has none, or one out of range."""
    found = ANSWER.findall(answer)
    if not found:
        return None
    score = float(found[-1])
    return score if LOWEST <= score <= HIGHEST else None
