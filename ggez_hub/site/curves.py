"""The curve of an adapter as its page draws it: the sides of parity at every beta, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.cards.curve import SPLITS
from ggez_hub.cards.measurements import Figure
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.evaluation.gates.rules import Gate, closed_gates, gain, retention
from ggez_hub.parity.beta_choice import eligible
from ggez_hub.parity.betas import as_json
from ggez_hub.parity.card_rows import NoCurve, RowsByBeta, measured_rows, regional_side
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import estimate_side
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from ggez_hub.parity.seeds import seed_summary
from ggez_hub.regions import known_region
from ggez_hub.site.measured_card import AS_IS, POLICIES, TEST, Json, MeasuredCard, figure

SIDES = {"global": GLOBAL, "regional": REGIONAL, "others": OTHERS}


def curve_rows(measured: MeasuredCard) -> list[Json]:
    """The curve on each split for the card's own region, and which betas a policy may take."""
    found = []
    for split in SPLITS:
        curve, suite = measured.curve(split, measured.home), measured.suite
        if curve is not None:
            found.append(
                {
                    "suite": suite and suite.id,
                    "suite_name": suite and suite.name,
                    "split": split,
                    "region": curve.region,
                    "measured_by": curve.measured_by,
                    "scale": curve.scale,
                    "betas": [as_json(beta) for beta in curve.betas],
                    **_sides(curve),
                    # Of Q_global and Q_regional: with the errors it gives that of GRP at any alpha.
                    "covariance": curve.moments.covariance[GLOBAL, :, REGIONAL].diagonal().tolist(),
                    **_allowed(curve),
                    "excluded": list(curve.at_chance),
                }
            )
    return found


def _sides(curve: ParityCurve) -> Json:
    """Scores above chance, with standard errors and 95 % intervals, by beta; null without items."""
    found: Json = {}
    for name, side in SIDES.items():
        values = curve.moments.means[side].tolist()
        if side == OTHERS and not curve.has_others:
            found |= {f"{part}_{name}": None for part in ("q", "error", "low", "high", "floor")}
            continue
        intervals = [estimate_side(curve.moments, side, n) for n in range(len(curve.betas))]
        found |= {
            f"q_{name}": values,
            f"error_{name}": [interval.se for interval in intervals],
            f"low_{name}": [interval.low for interval in intervals],
            f"high_{name}": [interval.high for interval in intervals],
            f"floor_{name}": float(curve.moments.floors[side]),
        }
    return found


def _allowed(curve: ParityCurve) -> Json:
    """By policy, which betas it may take at any alpha; or why it can choose none."""
    found: Json = {"undetermined": {}}
    for policy in POLICIES:
        allowed = reason = None
        try:
            places = eligible(curve, policy)
            allowed = [place in places for place in range(len(curve.betas))]
        except NoCurve as problem:
            reason = problem.message
        found[f"{policy}_allowed"] = allowed
        found["undetermined"][str(policy)] = reason
    return found


def gates(measured: MeasuredCard) -> list[Json]:
    """The gates that a card's own curve decides, at its own beta; answers are needed for the others."""
    card, own = measured.card, measured.own
    if own is None:
        return []
    found: list[Gate] = []
    if measured.policy.share is not None:
        found.append(retention(own.curve, own.effects, own.index))
    found.append(gain(own.curve, own.effects, own.index))
    if card.closed is not None:
        found += closed_gates(
            card.closed, card.region, own.beta, own.alpha, measured.policy, own.effects
        )
    said = "" if own.curve.measured_by == "registry" else "by its author's claim: "
    return [gate_row(gate, said) for gate in found]


def gate_row(gate: Gate, said: str = "") -> Json:
    """A gate as a page shows it; `said` comes before its reason."""
    points = f": {gate.difference.shown()} points" if gate.difference else ""
    return {"name": gate.name, "outcome": gate.verdict, "text": f"{said}{gate.reason}{points}"}


def country_rows(measured: MeasuredCard) -> list[Json]:
    """Scores on each country's own items on test, of the base and at the beta that is taken there."""
    card, own = measured.card, measured.own
    if own is None or card.curve == UNKNOWN:
        return []
    rows, _ = measured_rows(card.curve, TEST)
    without = frozenset(own.curve.at_chance)
    found = []
    for country in sorted(_asked_about(rows)):
        region = known_region(country)
        if region is None:
            continue
        taken = measured.taken(region, measured.policy)
        beta = own.beta if taken is None or taken.beta is None else taken.beta
        there, base = (
            regional_side(rows.get(at, {}), own.curve.scale, without, country) for at in (beta, 0.0)
        )
        found.append(
            {
                "id": country,
                "name": region.name,
                "beta": beta,
                "score": there and there.score,
                "se": there and there.se,
                "base": base and base.score,
                "base_se": base and base.se,
                "n": there and there.n,
                **figure(taken.gain if taken else None),
            }
        )
    return found


def _asked_about(rows: RowsByBeta) -> set[str]:
    every = (row for tasks in rows.values() for row in tasks.values())
    return {country for row in every if row.side == "regional" for country in row.by_country}


def controls(measured: MeasuredCard) -> Iterator[Json]:
    """What the merge is held against: the adapter itself, a switch, averages, closed items, seeds."""
    card, own = measured.card, measured.own
    over = own.effects.over_adapter if own else None
    if own is not None and over is not None and own.beta != AS_IS:
        yield {
            "name": "unmerged adapter",
            "text": f"GRP of the merge at beta {own.beta:g} over the unmerged adapter",
            "value": over.value,
            "low": over.low,
            "high": over.high,
        }
    if card.baselines is not None:
        of = f"over the merge at beta {card.baselines.beta}, on {card.baselines.split}"
        if (switch := card.baselines.switch) is not None:
            cue = "" if switch.cue else f"; its prompts have no cue: {switch.reason}"
            yield _control("switch by the prompt's language", f"GRP {of}{cue}", switch.over_merge)
        for name, other in (
            ("averaged outputs", card.baselines.average),
            ("joint fine-tune", card.baselines.joint),
        ):
            if other is not None:
                yield _control(name, f"GRP {of}", other.over_merge)
    found = seed_summary(card, own.curve, TEST, own.beta, own.alpha) if own else None
    for line in found.lines() if found else ():
        yield _control("other seeds", line, None)


def _control(name: str, text: str, found: Figure | None) -> Json:
    value = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {"name": name, "text": text} | dict(zip(("value", "low", "high"), value, strict=True))
