"""Other seeds of an adapter stand beside the table of a pull, where they are of the same tasks."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cli.main import cli
from ggez_hub.parity.seeds import seed_sides

from ..worlds import CURVE, card, write_card

TRAINING = {"method": "x", "hyper_parameters": "unknown", "seed": 7, "versions": "unknown"}


def with_seeds(assets, count):
    """The Thai adapter with other seeds, each a point below the last one everywhere."""
    base, folder = assets / "embedding" / "base", assets / "embedding" / "th"
    runs = []
    for number in range(1, count + 1):
        points = {
            beta: (world - number, region - number) for beta, (world, region) in CURVE.items()
        }
        other = card("th", base, folder, points=points).card
        sides = seed_sides(MeasuredCurve(other.curve, "independent", "th"))
        shown = {split: found.model_dump() for split, found in sides.items()}
        runs.append({"seed": number, "models": "unknown", "predictions": "unknown", "sides": shown})
    document = card("th", base, folder, training=TRAINING, seeds=runs)
    assert AdapterCard.model_validate(document.card.model_dump()) == document.card
    write_card(folder, document)
    return assets


def resolve(hub, region, *arguments):
    done = CliRunner().invoke(
        cli, ["resolve", "--hub", hub.endpoint, "--region", region, *arguments]
    )
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("count", [2, 4])
def test_they_stand_beside_the_table(assets, hub_of, count):
    hub, _ = hub_of(with_seeds(assets, count))
    found = json.loads(resolve(hub, "th", "--json"))
    beta = found["adapters"][0]["beta"]["value"]
    merged = next(line for line in found["table"] if line["beta"] == beta)
    own, *others = found["seeds"]["seeds"]
    assert (own["seed"], own["grp"]) == (7, pytest.approx(merged["grp"]))
    assert own["gain"] == pytest.approx(merged["gain"]["value"])
    assert [seed["seed"] for seed in others] == list(range(1, count + 1))
    assert all(seed["grp"] < own["grp"] for seed in others)
    shown = resolve(hub, "th")
    if count == 2:
        assert found["seeds"]["over_seeds"] is None
        assert f"seed 7, published, at beta {beta:g}: GRP {own['grp']:.2f}, " in shown
        assert "3 seeds: an interval over seeds needs 5" in shown
    else:
        low, high = found["seeds"]["over_seeds"]["grp"]["interval"]
        assert low < sum(seed["grp"] for seed in found["seeds"]["seeds"]) / 5 < high
        assert f"5 seeds at beta {beta:g}: GRP " in shown
        assert f"[{low:.2f}, {high:.2f}]" in shown
    # At a beta that nobody measured, and without seeds, nothing is said of them.
    assert json.loads(resolve(hub, "th", "--beta", "0.3", "--json"))["seeds"] is None
    assert json.loads(resolve(hub, "southeast-asia", "--json"))["seeds"] is None
