"""Cards: what is written is what is read, and what is off is named."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from ggez_hub.cards import AdapterCard, BadCard, CardDocument, hub_tags, parse_card, render_card
from ggez_hub.cards.document import FRONT_MATTER
from ggez_hub.demo.hub import ASSETS

from .blocks import FRONT, block, text


def test_round_trip_keeps_everything():
    document = parse_card(text(block()))
    assert document.front_matter == FRONT
    assert document.prose == "# Title\n\nProse.\n"
    assert document.card.summary["th"] == "อะแดปเตอร์ภาษาไทย"
    again = parse_card(render_card(document))
    assert again == document
    assert render_card(again) == render_card(document)


@given(prose=st.text(st.characters(codec="utf-8", exclude_characters="\r\x00\x85"), max_size=200))
def test_prose_survives(prose):
    document = parse_card(text(block()))
    changed = CardDocument(document.card, document.front_matter, prose.lstrip("\n"))
    assert parse_card(render_card(changed)).prose == prose.lstrip("\n")


def test_the_hub_reads_what_we_write():
    card = ModelCard(render_card(parse_card(text(block()))))
    assert card.data.base_model == "org/base"
    assert card.data.to_dict()["base_model_relation"] == "adapter"


def test_the_hubs_class_writes_what_we_read():
    document = parse_card(text(block()))
    card = ModelCard(render_card(document))
    assert parse_card(str(card)) == document
    assert card.data.to_dict() == ModelCard(str(card)).data.to_dict()


def test_results_of_other_benchmarks_survive():
    result = {
        "task": {"type": "retrieval"}, "dataset": {"name": "Flickr30k", "type": "flickr"},
        "metrics": [{"type": "recall", "value": 61.2, "a_key_of_theirs": True}],
    }  # fmt: skip
    front = FRONT | {"model-index": [{"name": "m", "results": [result]}], "widget": None}
    document = parse_card(text(block(), front))
    assert document.front_matter == front
    assert parse_card(render_card(document)) == document


@pytest.mark.parametrize("front", [{"model-index": [{"results": 3}]}, {"eval_results": "good"}])
def test_what_the_hubs_class_refuses_is_a_bad_card(front):
    with pytest.raises(BadCard, match="the Hub's card class refuses"):
        parse_card(text(block(), FRONT | front))


def test_tags():
    tags = hub_tags(AdapterCard.model_validate(block()))
    assert tags == ["ggez", "ggez-region:th", "ggez-family:embedding"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"level": "excellent"}, "ggez.level"),
        ({"surprise": 1}, "ggez.surprise: is not a known key"),
        ({"region": "TH"}, "ggez.region"),
        ({"region": None}, "ggez.region"),
        ({"files": {}}, "ggez.files"),
        ({"files": {"../../etc/passwd": {"size": 1, "sha256": "c" * 64}}}, "ggez.files"),
        ({"files": {"a\\b": {"size": 1, "sha256": "c" * 64}}}, "ggez.files"),
        ({"files": {"a\nb": {"size": 1, "sha256": "c" * 64}}}, "ggez.files"),
        ({"summary": {"en": "x" * 1_000_001}}, "larger than 1,000,000 bytes"),
        ({"base": {"repo": "org/base", "revision": "v1", "weights": {}}}, "ggez.base.revision"),
        ({"curve": {"0.50": {}}}, "shortest form"),
        ({"curve": {"0": {"t": {"score": 101}}}}, "ggez.curve"),
        (
            {"schema_version": 3},
            "ggez.schema_version: is 3, this ggez-hub reads 2: update ggez-hub",
        ),
        ({"schema_version": "1"}, "ggez.schema_version"),
        ({"languages": [False]}, "ggez.languages.0: should be text; put it in quotes"),
        ({"alpha": block()["alpha"] | {"value": float("nan")}}, "ggez.alpha.value"),
    ],
)
def test_what_is_off_is_named(change, named):
    with pytest.raises(BadCard) as caught:
        parse_card(text(block() | change), "README.md")
    assert named in caught.value.message


def test_an_error_names_its_line():
    content = text(block() | {"level": "excellent"})
    line = content.splitlines().index("  level: excellent") + 1
    with pytest.raises(BadCard, match=f"line {line}: ggez.level"):
        parse_card(content)
    nested = block()
    nested["files"]["adapter_model.safetensors"]["size"] = -1
    content = text(nested)
    line = content.splitlines().index("      size: -1") + 1
    with pytest.raises(BadCard, match=f"line {line}: ggez.files"):
        parse_card(content)


@pytest.mark.parametrize("key", ["region", "training", "alpha", "curve", "status"])
def test_an_absent_key_is_an_error_with_its_fix(key):
    ggez = block()
    del ggez[key]
    with pytest.raises(BadCard, match=f"ggez.{key}: is missing; write `unknown`"):
        parse_card(text(ggez))


@pytest.mark.parametrize(
    "content",
    ["", "no front matter", "---\nx: [\n---\n", "---\n- a list\n---\n", "---\nlicense: mit\n---\n",
     "---\nggez: a string\n---\n", "---\nggez: !!python/object/apply:os.system [ls]\n---\n"],
)  # fmt: skip
def test_what_is_no_card(content):
    with pytest.raises(BadCard):
        parse_card(content)


UNPINNED = {
    "base": {"repo": "org/base", "revision": "main", "weights": "unknown"},
    "files": "unknown",
    "adapter": {"repo": "org/adapter", "revision": "main"},
}


def test_a_card_that_is_not_pinned_yet():
    document = parse_card(text(block() | UNPINNED))
    assert not document.card.pinned
    assert parse_card(render_card(document)) == document
    assert parse_card(text(block())).card.pinned


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"level": "measured"}, "level declared only, not measured"),
        (
            {"base": UNPINNED["base"] | {"revision": "a" * 40}},
            "ggez.base: `weights: unknown` is for the revision main",
        ),
        ({"adapter": {"repo": "org/adapter", "revision": "a" * 40}}, "record the files"),
        ({"adapter": None}, "`files: unknown` is for the revision main only"),
        ({"files": "guessed"}, "ggez.files"),
    ],
)
def test_unknown_bytes_are_for_declared_cards_at_main(change, named):
    with pytest.raises(BadCard) as caught:
        parse_card(text(block() | UNPINNED | change))
    assert named in caught.value.message


def test_the_date_of_registration():
    adapter = UNPINNED["adapter"] | {"registered": "2026-07-01"}
    content = text(block() | {"adapter": adapter})
    document = parse_card(content.replace("'2026-07-01'", "2026-07-01"))
    assert document.card.adapter.registered == "2026-07-01"
    assert parse_card(render_card(document)) == document
    assert "registered:" not in render_card(parse_card(text(block() | UNPINNED)))
    for wrong in ("2026-02-30", "July", "2026-07-01T00:00:00"):
        with pytest.raises(BadCard, match=r"ggez\.adapter\.registered"):
            parse_card(text(block() | {"adapter": adapter | {"registered": wrong}}))


@pytest.mark.parametrize("name", ["th", "southeast-asia"])
def test_the_cards_of_the_demo_world_are_written_byte_for_byte(name):
    content = (ASSETS / "embedding" / name / "README.md").read_text(encoding="utf-8")
    assert render_card(parse_card(content)) == content


def test_broken_yaml_is_named_by_the_line_of_the_card():
    with pytest.raises(BadCard, match=r"its line 5, column 5"):
        parse_card("---\nlicense: mit\ntags:\n- [a\nggez: {}\n---\n\nProse.\n")


def test_each_place_of_a_broken_card_is_named():
    for where in ("cards/th/a.md", "cards/th/b.md"):
        with pytest.raises(BadCard, match=f"^{where}"):
            parse_card("no front matter", where)


def test_front_matter_begins_and_ends_where_the_hub_says():
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    assert (FRONT_MATTER.pattern, FRONT_MATTER.flags) == (
        REGEX_YAML_BLOCK.pattern,
        REGEX_YAML_BLOCK.flags,
    )
