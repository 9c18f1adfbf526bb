"""The report: what went in, what stayed, what was dropped and why; and its block for the card."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.cards.provenance import DataFilter
from ggez_hub.data.filter_models import ModelNames
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.region_rules import GROUP_NOTE
from ggez_hub.data.scorers.spec import SCORERS
from ggez_hub.data.spec import FilterSpec, LanguageRule
from ggez_hub.data.tally import (
    CROWDED,
    DIMENSIONS,
    HELD_OUT,
    KEPT,
    REST,
    TRANSLATED,
    UNLIKE,
    UNREADABLE,
    WITHOUT_PICTURE,
    Tally,
)
from ggez_hub.digests import digest_json
from ggez_hub.quantities import counted
from ggez_hub.regions.text_language import GROUP

KIND = "filter-report"
# The duplicates of the output's folder, each with the row that stays.
DUPLICATES_FILE = "duplicates.parquet"
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
        return digest_json(self.document)

    @classmethod
    def of_output(cls, out: Path) -> FilterReport | None:
        """The report in a folder; None if what is there is not a report."""
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
        read: dict[bool, list[dict[str, str]]] = {False: [], True: []}
        for source in document["sources"]:
            named = {key: source[key] for key in ("repo", "revision", "license")}
            read[source["held_out"]].append(named)
        if reward != "none":
            reward = {"scorer": reward["scorer"], "threshold": float(reward["threshold"])}
        return DataFilter.model_validate(
            {
                "sources": read[False],
                "held_out": read[True],
                "rules": document["rules"],
                "reward": reward,
                "translator": document["translator"],
                "counts": {
                    "seen": document["counts"]["seen"],
                    "kept": document["counts"]["kept"],
                    "dropped": {
                        f"{stage}: {reason}": count for stage, reason, count in dropped(document)
                    },
                },
                "spec_digest": document["spec_digest"],
            }
        )

    def write(self, folder: Path) -> None:
        """Write report.json, and the card's block with this report's digest as data_filter.json."""
        block = self.card_block().model_dump(mode="json")
        for name, value in (
            ("report", self.document),
            ("data_filter", {"data_filter": block, "report_digest": self.digest}),
        ):
            text = json.dumps(value, ensure_ascii=False, indent=2)
            (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def dropped(document: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(stage, reason, count) of what a report counts as dropped."""
    return [
        (stage, reason, count)
        for stage, reasons in document["counts"]["dropped"].items()
        for reason, count in reasons.items()
    ]


def unlike_duplicates(document: dict[str, Any]) -> str:
    """The share of the duplicates that are not themselves like the row that stays; empty without one."""
    dropped, unlike = (document["duplicates"][key] for key in ("dropped", "unlike"))
    share = f"{unlike:,} of {dropped:,} ({100 * unlike / max(dropped, 1):.1f} %)"
    return f"duplicates not themselves like the row that stays: {share}" if dropped else ""


def make_report(plan: FilterPlan, tally: Tally, models: ModelNames) -> FilterReport:
    """The report of a filter whose parts are all done."""
    spec = plan.spec
    outcomes = tally.outcomes()
    drops: dict[str, dict[str, int]] = {}
    for outcome in sorted(outcomes.keys() - {KEPT, TRANSLATED}):
        stage, _, reason = outcome.partition(": ")
        drops.setdefault(stage, {})[reason] = outcomes[outcome]
    evidence: dict[str, dict[str, int]] = {}
    for (name, verdict), count in sorted(tally.evidence.items()):
        evidence.setdefault(name, {})[verdict] = count
    reward: dict[str, Any] | str = "none"
    if spec.reward != "none":
        reward = {
            "scorer": models.scorer,
            "languages": list(models.languages),
            "threshold": spec.reward.threshold,
            "comparison": spec.reward.comparison,
            "agreement": models.agreement,
        }
        if plugin := SCORERS.origin(spec.reward.scorer.kind):
            reward["plugin"] = plugin.document
    translator = "none"
    if spec.translation != "none":
        translator = f"{models.translator} ({spec.translation.license})"
    samples: dict[str, list[dict[str, Any]]] = {}
    for outcome, found in sorted(tally.samples.items()):
        samples[outcome] = [sample._asdict() for sample in found]
        for sample in samples[outcome]:
            del sample["order"]
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
                    "held_out": number < plan.held_out,
                }
                for number, source in enumerate(plan.sources)
            ],
            "counts": {
                "seen": outcomes.total() - outcomes[TRANSLATED],
                "kept": outcomes[KEPT],
                "translated": outcomes[TRANSLATED],
                "dropped": drops,
            },
            "duplicates": {
                "dropped": sum(drops.get("duplicate", {}).values()),
                "unlike": tally.extra[UNLIKE],
            },
            "by": {name: _listed(tally.by(name)) for name in DIMENSIONS},
            "evidence": evidence,
            "reward": reward,
            "translator": translator,
            "translation": {
                name.removeprefix("translation "): count
                for name, count in sorted(tally.extra.items())
                if name.startswith("translation ")
            },
            "held_out": {
                "examples": tally.extra[HELD_OUT],
                "without_picture": tally.extra[WITHOUT_PICTURE],
                "unreadable": tally.extra[UNREADABLE],
            },
            "warnings": warnings_of(spec, tally),
            "samples": samples,
        }
    )


def rules_in_words(spec: FilterSpec) -> list[str]:
    """The rules of a spec, one line each."""
    lines = [f"region {spec.region}: {spec.keep_region.keep} of"]
    for rule in spec.keep_region.rules:
        values = rule.model_dump(mode="json", exclude={"evidence", "device", "batch"})
        shown = {k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in values.items()}
        keys = ", ".join(f"{key} {value}" for key, value in shown.items() if value)
        lines.append(f"  {rule.evidence}: {keys}" if keys else f"  {rule.evidence}")
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
            f"{missing} of {counted(tally.extra[HELD_OUT], 'held-out example')}: no picture could be read; "
            "only their text is protected."
        )
    if lost := tally.extra[UNREADABLE]:
        found.append(
            f"Not protected, since they could not be read: {counted(lost, 'held-out example')}."
        )
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
