"""Other seeds are measured as the card is, kept beside the models, and told of on the card."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from demo_world import seeds
from demo_world.card_text import CardContext, at_one_beta, text_of_family
from demo_world.training_records import record_of
from ggez_hub.cards import read_card, write_card
from ggez_hub.cards.measurements import SeedSides
from ggez_hub.demo.hub import ASSETS
from ggez_hub.demo.questions import questions_of
from ggez_hub.demo.world import DEMO_FAMILIES, EMBEDDING, FamilyFolders
from ggez_hub.evaluation.gates.outcome import read_limits
from ggez_hub.evaluation.report.contents import contents
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import estimate_score
from ggez_hub.parity.moments import REGIONAL


@pytest.mark.slow
def test_each_is_measured_and_kept(tmp_path, monkeypatch):
    data = tmp_path / "assets" / "emoji-names" / "data"
    data.mkdir(parents=True)
    for split in ("validation", "test"):
        path = f"{split}.parquet"
        pq.write_table(
            pq.read_table(ASSETS / "emoji-names" / "data" / path).slice(0, 150), data / path
        )
    built = []
    for seed in (3, 4):
        built.append(tmp_path / f"built-{seed}")
        shutil.copytree(ASSETS / "embedding", built[-1] / "embedding")
        record = built[-1] / "embedding" / "th" / "training.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "seed": seed}))
    few = replace(questions_of(EMBEDDING), betas=(0.0, 1.0))
    text = replace(text_of_family(EMBEDDING), questions=few)
    monkeypatch.setattr(seeds, "text_of_family", lambda _: text)
    for folder in built:
        seeds.measure_seeds(tmp_path / "assets", EMBEDDING, [folder], "commit")
    found = seeds.read_seeds(FamilyFolders(tmp_path / "assets", EMBEDDING), "th")
    assert list(found) == [3, 4]
    assert found[3].rows == found[4].rows  # the same models under two names
    assert list(found[3].rows) == ["0", "1"]
    for rows in found[3].rows.values():
        assert {row.metric for row in rows.values()} == {"text_to_image_r1"}
        assert {(row.split, row.side) for row in rows.values()} == {
            (split, side) for split in ("validation", "test") for side in ("global", "regional")
        }
        assert {row.n for row in rows.values()} == {150}
    # Their answers are beside the card, which records their sides: verify computes them again.
    place = FamilyFolders(tmp_path / "assets", EMBEDDING)
    runs = seeds.seed_runs(place, "th")
    assert [run.seed for run in runs] == [3, 4]
    assert all(set(run.models) == {"0", "1"} for run in runs)
    folder = place.adapter("th")
    for path in ("README.md", "evidence/predictions.parquet", "evidence/average.parquet"):
        shutil.copyfile(ASSETS / "embedding" / "th" / path, folder / path)
    document = read_card(folder / "README.md")
    noted = document.card.model_copy(update={"seeds": runs})
    write_card(folder / "README.md", replace(document, card=noted))
    before, after = verify_evidence(ASSETS / "embedding" / "th"), verify_evidence(folder)
    assert (after.problems, after.unproven) == ((), 0)
    assert after.figures == before.figures + sum(
        sum(map(len, (s.q_global, s.q_regional))) for run in runs for s in run.sides.values()
    )
    sides = {**runs[0].sides["test"].model_dump(), "q_regional": [10.0, 20.0]}
    wrong = runs[0].model_copy(
        update={"sides": {**runs[0].sides, "test": SeedSides.model_validate(sides)}}
    )
    changed = document.card.model_copy(update={"seeds": [wrong, runs[1]]})
    write_card(folder / "README.md", replace(document, card=changed))
    problems = verify_evidence(folder).problems
    assert [problem.partition(" is ")[0] for problem in problems] == [
        "seed 3: test: q_regional[0]", "seed 3: test: q_regional[1]",
    ]  # fmt: skip
    # The two have the same answers.
    for seed in (3, 4):
        (folder / "evidence" / f"seed-{seed}.parquet").unlink()
    assert any(
        "no file here has the sha256" in problem for problem in verify_evidence(folder).problems
    )


@pytest.mark.parametrize("part", DEMO_FAMILIES.values(), ids=list(DEMO_FAMILIES))
def test_the_card_tells_what_was_measured(part):
    place = FamilyFolders(ASSETS, part)
    document = read_card(place.adapter("th") / "README.md")
    card = document.card
    (section,) = re.findall(r"## Seeds\n(.*?)\n\n(?:`evidence|##)", document.prose, re.DOTALL)
    found = seeds.read_seeds(place, "th")
    if not found:
        assert "One seed" in section
    for seed, curve in {card.training.seed: card.measured, **found}.items() if found else ():
        chosen = select_beta(curve, card.alpha.value, "th").beta
        test = ParityCurve.of(curve, "test", "th")
        thai = estimate_score(test.moments, REGIONAL, test.index(chosen))
        assert f"| {thai.value:.1f} [{thai.low:.1f}, {thai.high:.1f}] |" in section
        assert re.search(rf"\| {seed} \| {chosen:g} \([a-z, ]*merge\) \|", section)


def test_the_report_of_a_card_prints_its_seeds(tmp_path):
    place = FamilyFolders(ASSETS, EMBEDDING)
    folder = shutil.copytree(place.adapter("th"), tmp_path / "th")
    document = read_card(folder / "README.md")
    card = document.card.model_copy(update={"seeds": seeds.seed_runs(place, "th")})
    write_card(folder / "README.md", replace(document, card=card))
    # The seeds of the demo so far: only their scores were kept.
    assert {run.predictions for run in card.seeds} == {"unknown"}
    shown = contents(open_evidence(folder), read_limits(None))["seeds"]
    chosen = select_beta(card.measured, card.alpha.value, "th").beta
    starts = [line.partition(":")[0] for line in shown]
    assert starts == [
        f"seed 0, published, at beta {chosen:g}", f"seed 1, at beta {chosen:g}",
        f"seed 2, at beta {chosen:g}", "3 seeds",
    ]  # fmt: skip
    told = CardContext(place, card, record_of(folder), None, {0: card.measured, 1: None})
    section = at_one_beta(told)
    assert all(f"- {line}" in section for line in shown)
    assert "The answers of seed 1 and 2 were not kept" in section
