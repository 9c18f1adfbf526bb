"""A spec names everything that is off, with its line."""

from __future__ import annotations

import pytest

from ggez_hub.data.spec import FilterSpec
from ggez_hub.recipe_file import BadRecipe, read_recipe, recipes_folder

GOOD = """kind: filter
region: th
sources:
  - name: own
    jsonl: rows.jsonl
    license: mit
    columns:
      picture: image
      examples:
        - {format: caption, answer: text}
keep_region:
  keep: any
  rules:
    - {evidence: language, languages: [th]}
"""


def written(path, old="", new=""):
    assert old in GOOD
    path.write_text(GOOD.replace(old, new) if old else GOOD, encoding="utf-8")
    return path


def test_a_good_spec(tmp_path):
    assert read_recipe(written(tmp_path / "spec.yaml"), "filter", FilterSpec).region == "th"


def test_a_name_of_a_region_becomes_its_id(tmp_path):
    place = written(tmp_path / "spec.yaml", "region: th", "region: Thailand")
    assert read_recipe(place, "filter", FilterSpec).region == "th"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "license: mit",
            "licence: mit",
            "sources.0.licence: is not a known key; did you mean license?",
        ),
        ("    license: mit\n", "", "sources.0.license: is missing; add it"),
        ("languages: [th]", "languages: [no]", "should be text; put it in quotes"),
        ("answer: text", "question: text", "line 10: sources.0.columns.examples.0: does not fit"),
        ("keep: any", "keep: 2", "line 11: keep_region: keep has to be from 1 to 1"),
        ("region: th", "region: atlantis", "line 2: region: is not a region"),
        ("region: th", "region: south-asia", "line 2: region: is not a region whose members"),
        ("jsonl: rows.jsonl", "mapping: cvqa", "line 4: sources.0: needs exactly one of hub"),
        ("      picture: image\n", "", "source own has no column of pictures"),
        (
            "kind: filter\n",
            "kind: filter\nreward: {scorer: {kind: column, column: q, languages: [th]}, comparison: '>'}\n",
            "is not a valid filter:\n  line 2: reward.threshold: is missing; add it",
        ),
        (
            "kind: filter\n",
            "kind: filter\nduplicates: {distance: 9}\n",
            "line 2: duplicates.distance: ",
        ),
        ("kind: filter\n", "kind: filter\ntranslation: nothing\n", "line 2: translation: "),
        ("    columns:", "    mapping: cvqa\n    columns:", "needs either mapping"),
    ],
)
def test_what_is_off_is_named_with_its_line(tmp_path, old, new, said):
    with pytest.raises(BadRecipe) as refused:
        read_recipe(written(tmp_path / "spec.yaml", old, new), "filter", FilterSpec)
    assert said in refused.value.message
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "kind: merge", "- a", "a: [", "\x00"])
def test_what_is_no_spec_is_refused(tmp_path, text):
    place = tmp_path / "spec.yaml"
    place.write_text(text)
    with pytest.raises(BadRecipe):
        read_recipe(place, "filter", FilterSpec)


def test_the_recipes_are_specs():
    found = sorted(recipes_folder().rglob("*filter*.yaml"))
    assert found
    for path in found:
        read_recipe(path, "filter", FilterSpec)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port/v1", "ftp://host", "http://a b"])
def test_an_address_that_is_none(tmp_path, url):
    translation = f"""translation:
  translator: {{kind: endpoint, url: "{url}", model: m}}
  license: mit
  targets: [th]
"""
    place = tmp_path / "spec.yaml"
    place.write_text(GOOD + translation, encoding="utf-8")
    with pytest.raises(BadRecipe, match="is not an http address"):
        read_recipe(place, "filter", FilterSpec)
