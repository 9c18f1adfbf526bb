"""The report: what went in, what stayed, what was dropped and why; and its block for the card."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.cards.schema import DataFilter
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.region_rules import GROUP_NOTE
from ggez_hub.data.screener import HELD_OUT, UNREADABLE, WITHOUT_PICTURE
from ggez_hub.data.spec import FilterSpec, LanguageRule
from ggez_hub.data.tally import CROWDED, DIMENSIONS, KEPT, REST, TRANSLATED, Tally, drops
from ggez_hub.digests import digest_json
from ggez_hub.regions.text_language import GROUP

if TYPE_CHECKING:
    from ggez_hub.data.models import Models

KIND = "filter-report"
# Values of a dimension that are listed; the rest is one line.
LISTED = 60
# Below this many kept rows a share says little.
ENOUGH = 20


@dataclass(frozen=True)
class FilterReport:
    """A report as JSON values; `digest` is the sha256 of everything in it."""

    document: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """The sha256 of the report's canonical JSON."""
        return digest_json(self.document)

    @property
    def rows(self) -> int:
        """Rows of the output."""
        counts = self.document["counts"]
        return int(counts["kept"] + counts["translated"])

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        text = json.dumps(self.document, ensure_ascii=False, indent=2)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def of_output(cls, out: Path) -> FilterReport | None:
        """The report in a folder; None if what is there is no report."""
        try:
            value = json.loads((out / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        known = isinstance(value, dict) and value.get("kind") == KIND
        return cls(value) if known and isinstance(value.get("spec_digest"), str) else None

    def card_block(self) -> DataFilter:
        """The `data_filter` block of an adapter trained on this."""
        document = self.document
        reward = document["reward"]
        return DataFilter.model_validate(
            {
                "sources": [
                    {key: source[key] for key in ("repo", "revision", "license")}
                    for source in document["sources"]
                ],
                "rules": document["rules"],
                "reward": "none"
                if reward == "none"
                else {"scorer": reward["scorer"], "threshold": float(reward["threshold"])},
                "translator": document["translator"],
                "counts": {
                    "seen": document["counts"]["seen"],
                    "kept": document["counts"]["kept"],
                    "dropped": {
                        f"{stage}: {reason}": count
                        for stage, reasons in document["counts"]["dropped"].items()
                        for reason, count in reasons.items()
                    },
                },
                "spec_digest": document["spec_digest"],
            }
        )

    def write_card_block(self, path: Path) -> None:
        """Write the block as JSON, with the digest of this report."""
        block = {"data_filter": self.card_block().model_dump(mode="json")}
        text = json.dumps({**block, "report_digest": self.digest}, ensure_ascii=False, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def make_report(plan: FilterPlan, tally: Tally, models: Models) -> FilterReport:
    """The report of a filter whose parts are all done."""
    outcomes = tally.outcomes()
    dropped: dict[str, dict[str, int]] = {}
    for stage, reason, count in drops(outcomes):
        dropped.setdefault(stage, {})[reason] = count
    spec = plan.spec
    held = {s.name for s in plan.sources[: plan.held_out]}
    return FilterReport(
        {
            "kind": KIND,
            "region": spec.region,
            "spec_digest": plan.digest,
            "rules": rules_in_words(spec),
            "sources": [
                {
                    "name": source.name,
                    "repo": source.hub.repo if source.hub else source.name,
                    "place": source.place,
                    "revision": plan.revisions[source.name],
                    "license": source.license,
                    "held_out": source.name in held,
                }
                for source in plan.sources
            ],
            "counts": {
                "seen": outcomes.total() - outcomes[TRANSLATED],
                "kept": outcomes[KEPT],
                "translated": outcomes[TRANSLATED],
                "dropped": dropped,
            },
            "by": {name: _listed(tally.by(name)) for name in DIMENSIONS},
            "evidence": _evidence(tally),
            "reward": models.reward_block(),
            "translator": models.translator_line(),
            "translation": _translation(tally),
            "held_out": {
                "examples": tally.extra[HELD_OUT],
                "without_picture": tally.extra[WITHOUT_PICTURE],
                "unreadable": tally.extra[UNREADABLE],
            },
            "warnings": warnings_of(spec, tally),
            "samples": {
                outcome: [
                    {
                        "id": sample.id,
                        "language": sample.language,
                        "country": sample.country,
                        "text": sample.text,
                        "note": sample.note,
                    }
                    for sample in samples
                ]
                for outcome, samples in sorted(tally.samples.items())
            },
        }
    )


def rules_in_words(spec: FilterSpec) -> list[str]:
    """The rules of a spec, one line each."""
    lines = [f"region {spec.region}: {spec.keep_region.keep} of"]
    for rule in spec.keep_region.rules:
        values = rule.model_dump(mode="json", exclude={"evidence", "device", "batch"})
        said = ", ".join(f"{key} {_short(value)}" for key, value in values.items() if value)
        lines.append(f"  {rule.evidence}: {said}" if said else f"  {rule.evidence}")
    lines.append(f"pictures {spec.pictures}")
    if spec.duplicates != "keep":
        same = spec.duplicates
        lines.append(
            f"duplicates by {same.by} dropped: distance {same.distance} of 64, "
            f"similarity {same.similarity:g}"
        )
    if spec.held_out is not None:
        names = ", ".join(source.name for source in spec.held_out.sources)
        lines.append(f"held out: {names}; text similarity {spec.held_out.similarity:g}")
    if spec.reward != "none":
        scorer = spec.reward.scorer.kind
        lines.append(f"reward {scorer} {spec.reward.comparison} {spec.reward.threshold:g}")
    return lines


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _listed(counts: dict[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """Seen, kept and translated of each value, the most seen first."""
    rows = {
        value: {
            "seen": found.total() - found[TRANSLATED],
            "kept": found[KEPT],
            "translated": found[TRANSLATED],
        }
        for value, found in counts.items()
    }
    ordered = sorted(rows.items(), key=lambda it: (-it[1]["seen"] - it[1]["translated"], it[0]))
    listed = dict(ordered[:LISTED])
    if rest := ordered[LISTED:]:
        listed[REST] = {key: sum(row[key] for _, row in rest) for key in rest[0][1]}
    return listed


def _evidence(tally: Tally) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (name, verdict), count in sorted(tally.evidence.items()):
        found.setdefault(name, {})[verdict] = count
    return found


def _translation(tally: Tally) -> dict[str, int]:
    return {
        name.partition(" ")[2]: count
        for name, count in sorted(tally.extra.items())
        if name.startswith("translation ")
    }


def warnings_of(spec: FilterSpec, tally: Tally) -> list[str]:
    """What a reader should know before training on the output."""
    found = []
    total = sum(tally.outcomes()[name] for name in (KEPT, TRANSLATED))
    if total == 0:
        found.append("Nothing was kept.")
    for name in DIMENSIONS:
        for value, counts in sorted(tally.by(name).items()):
            kept = counts[KEPT] + counts[TRANSLATED]
            if total >= ENOUGH and kept / total > spec.dominance:
                found.append(
                    f"{kept / total:.0%} of what was kept has {name} {value}: a training set of "
                    "one kind can harm what it does not show."
                )
    asked = [r.languages for r in spec.keep_region.rules if isinstance(r, LanguageRule)]
    if GROUP & {tag for languages in asked for tag in languages}:
        found.append(GROUP_NOTE)
    if missing := tally.extra[WITHOUT_PICTURE]:
        found.append(
            f"{missing} of {tally.extra[HELD_OUT]} held-out examples have no picture that could be "
            "read: only their text is protected."
        )
    if lost := tally.extra[UNREADABLE]:
        found.append(f"{lost} held-out examples could not be read and are not protected.")
    if crowded := tally.extra[CROWDED]:
        found.append(
            f"{crowded} examples share a key with more earlier ones than are compared: of texts of "
            "one template some near duplicates may have stayed."
        )
    if spec.reward != "none" and spec.reward.agreement is None:
        found.append(
            "The scorer's agreement with people is unmeasured: `ggez-hub reward agreement`."
        )
    return found
