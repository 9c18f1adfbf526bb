"""Bills of materials: valid by CycloneDX's own schema, and as complete as lock and card are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ggez_hub.cards import read_card, write_card
from ggez_hub.cards.schema import Disclosure
from ggez_hub.cli.main import cli
from ggez_hub.registry.bill_of_materials.bill import bill_text, card_bill
from ggez_hub.registry.bill_of_materials.completeness import completeness

CARDS = sorted(Path("cards").glob("*/*/*.md"))
DISCLOSURE = Disclosure(
    uses=["retrieval of Thai captions"],
    limitations=["drawings only"],
    risks=["a caption may be of another picture"],
    explanation="scores are cosines, item by item in the evidence",
    standards=["CycloneDX 1.6"],
    autonomy="no",
    energy_kwh=0.4,
)


def run(*arguments):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def checked(text):
    """The bill of a text, once the schema took it."""
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, problem
    return json.loads(text)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_every_accepted_card(path):
    bill = checked(bill_text(card_bill(read_card(path))))
    assert bill == card_bill(read_card(path))
    found = completeness(bill)
    # What these cards do not state is listed, not invented.
    assert {"energyConsumption", "autonomyType", "standardCompliance"} <= set(found.missing)
    assert found.score < 95


def test_a_reproducible_card_that_states_everything_is_complete():
    document = read_card(Path("cards/th/embedding/clip-emoji-th.md"))
    document = document.with_card(level="reproducible", disclosure=DISCLOSURE)
    found = completeness(checked(bill_text(card_bill(document))))
    assert found.score >= 95
    assert found.missing == ()


@pytest.mark.parametrize(
    ("taken", "lost"),
    [(("supplier", "suppliedBy"), 20 / 5), (("datasets", "datasets"), 30 / 17)],
)
def test_what_is_unknown_is_absent(taken, lost):
    place, field = taken
    document = read_card(Path("cards/th/embedding/clip-emoji-th.md"))
    bill = card_bill(document.with_card(disclosure=DISCLOSURE))
    if place == "supplier":
        for entry in bill["metadata"]["properties"]:
            if entry["name"] == field:
                entry["value"] = "unknown"
    else:
        del bill["components"][0]["modelCard"]["modelParameters"][place]
    found = completeness(bill)
    assert found.missing == (field,)
    assert found.score == pytest.approx(100 - lost, abs=0.06)


def test_missing_critical_fields_take_a_share_of_the_sum():
    """As the rules: four critical fields of one category take its points, and a fifth of the rest."""
    found = completeness({"components": []})
    assert found.score == 0
    bill = card_bill(
        read_card(Path("cards/th/embedding/clip-emoji-th.md")).with_card(disclosure=DISCLOSURE)
    )
    for name in ("bomFormat", "specVersion", "serialNumber", "version"):
        del bill[name]
    assert completeness(bill).score == pytest.approx(80 * 0.8)


def test_measurements_have_slices_and_intervals():
    document = read_card(Path("cards/th/embedding/clip-emoji-th.md"))
    model = card_bill(document)["components"][0]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    row = document.card.curve["0"]["emoji-en-choice/test"]
    (metric,) = [m for m in metrics if m["slice"].startswith("beta=0; task=emoji-en-choice/test;")]
    low, high = (float(metric["confidenceInterval"][end]) for end in ("lowerBound", "upperBound"))
    assert low == pytest.approx(row.score - 1.959964 * row.se, rel=1e-4)
    assert high == pytest.approx(row.score + 1.959964 * row.se, rel=1e-4)
    assert any("language=th" in metric["slice"] for metric in metrics)


def test_a_pulled_folder(seeded, tmp_path):
    out = tmp_path / "out"
    run("pull", "--region", "th", "--hub", seeded.endpoint, "-o", out)
    bom = tmp_path / "bom.json"
    for place in (out, out / "embedding"):
        done = run("bom", place, "-o", bom, "--hub", seeded.endpoint, "--json")
        assert json.loads(done.stdout)["missing"]
    bill = checked(bom.read_text())
    model = bill["components"][0]
    lock = json.loads((out / "ggez.lock").read_text())
    ancestors = {a["bom-ref"].partition(":")[0]: a for a in model["pedigree"]["ancestors"]}
    assert ancestors["base"]["name"] == "ggez-world/clip-emoji"
    assert (
        ancestors["adapter"]["version"] == lock["resolution"]["adapters"][0]["source"]["revision"]
    )
    hashes = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert hashes == {path: record["sha256"] for path, record in lock["outputs"].items()}
    slices = [m["slice"] for m in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]]
    assert {text.partition(";")[0] for text in slices} == {"beta=0", "beta=0.5"}
    assert any("country=th" in text for text in slices)


def test_a_merge_of_folders(world, tmp_path):
    family = world / "embedding"
    inputs = ("--base", family / "base", "--adapter", family / "th", "--beta", 0.5)
    run("merge", *inputs, "-o", tmp_path / "out")
    run("bom", tmp_path / "out", "-o", tmp_path / "bom.json")
    bill = checked((tmp_path / "bom.json").read_text())
    assert len(bill["components"][0]["pedigree"]["ancestors"]) == 2


def test_a_card_that_discloses_survives_a_round_trip(tmp_path):
    document = read_card(Path("cards/th/embedding/clip-emoji-th.md"))
    changed = document.with_card(disclosure=DISCLOSURE)
    write_card(tmp_path / "README.md", changed)
    assert read_card(tmp_path / "README.md").card == changed.card
    assert "disclosure" not in Path("cards/th/embedding/clip-emoji-th.md").read_text()


@pytest.mark.parametrize(
    ("endpoint", "purl", "references"),
    [
        ("https://huggingface.co", "pkg:huggingface/ggez-world/clip-emoji-th@8aeea711f567", True),
        ("https://hub.example", "?repository_url=https%3A%2F%2Fhub.example", True),
        ("http://127.0.0.1:8000", "pkg:generic/ggez-world/clip-emoji-th@8aeea711f567", False),
    ],
)
def test_an_address_of_this_machine_is_of_no_use_elsewhere(endpoint, purl, references):
    document = read_card(Path("cards/th/embedding/clip-emoji-th.md"))
    bill = checked(bill_text(card_bill(document, endpoint=endpoint)))
    model = bill["components"][0]
    assert purl in model["purl"]
    assert any(r["type"] == "vcs" for r in model["externalReferences"]) == references
    assert ("127.0.0.1" in json.dumps(bill)) is False


def test_a_folder_with_neither_lock_nor_card_is_named(tmp_path):
    result = CliRunner().invoke(cli, ["bom", str(tmp_path), "-o", str(tmp_path / "bom.json")])
    assert result.exit_code == 1
    assert f"error: {tmp_path} holds neither a lock nor a card" in result.stderr
