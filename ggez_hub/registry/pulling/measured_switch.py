"""What a card says of the switch: whether it is ahead of the merge, by how much, and of which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.registry.resolution import Resolution


@dataclass(frozen=True)
class MeasuredSwitch:
    """The switch as it was measured; `ahead` is None where it was not, or its prompts have no cue."""

    ahead: bool | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON: whether it is ahead of the merge, and that in words."""
        return {"ahead": self.ahead, "text": self.text}


def measured_switch(card: AdapterCard, resolution: Resolution) -> MeasuredSwitch:
    """What a card has measured of the switch that a resolution may be, or could be."""
    found = card.baselines
    if found is None or found.switch is None or resolution.fits_by != "weights":
        return MeasuredSwitch(None, "unmeasured: whether it is ahead of the merge is not known")
    switch, over = found.switch, found.switch.over_merge
    if not switch.cue:
        return MeasuredSwitch(None, f"not recommended: it has no cue, since {switch.reason}")
    ahead = over.low > 0 and not over.undetermined
    said = (
        "ahead of"
        if ahead
        else "behind"
        if over.high < 0 and not over.undetermined
        else "not shown to be ahead of"
    )
    other = ""
    if resolution.region != card.region or resolution.alpha.value != card.alpha.value:
        other = f", for {card.region} at alpha {card.alpha.value:g}"
    claim = "" if found.measured_by == "registry" else ", as its author claims"
    return MeasuredSwitch(
        ahead,
        f"{said} the merge at beta {found.beta} by {over.value:+.2f} [{over.low:+.2f}, "
        f"{over.high:+.2f}] points of GRP on {found.split}{other}{claim}; {switch.misrouted:,} of "
        f"{switch.prompts:,} prompts went to the wrong model",
    )
