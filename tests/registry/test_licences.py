"""What a result's licences ask: a union, from a reviewed table; what is not known is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.licences import cases, report
from ggez_hub.cards import parse_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.registry.licences import (
    LicenceTerm,
    MayNotPush,
    Obligations,
    licence_front,
    may_push,
    obligations,
    table,
    unsaid,
)
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..worlds import card, write_card

# Ids of the Hub that the models and corpora of this field are under.
COMMON = (
    "apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "openrail", "creativeml-openrail-m", "openrail++", "gemma", "llama2",
    "llama3", "llama3.1", "llama3.2", "llama3.3", "unicode-3.0",
)  # fmt: skip


def weights(*licences):
    roles = ["base"] + ["adapter"] * (len(licences) - 1)
    return Obligations(
        tuple(LicenceTerm(role, "a/b", name) for role, name in zip(roles, licences, strict=True)),
        (),
    )


@pytest.mark.parametrize("name", COMMON)
def test_a_common_licence_is_in_the_table(name):
    assert table().licences[name].link.startswith("https://")


def test_the_table_agrees_with_itself():
    known = table()
    assert set(known.aliases.values()) <= known.licences.keys()
    assert set(known.models.values()) <= known.licences.keys()
    for name, licence in known.licences.items():
        assert set(licence.details) <= set(licence.asks), name
        assert set(licence.asks) <= known.duties.keys()
        assert ("share_alike" in licence.asks) == (licence.shares_as is not None), name


def test_the_union_of_base_adapter_and_data(seeded):
    resolved = resolve(Request("th"), seeded)
    terms = [(t.role, t.licence) for t in resolved.obligations.terms]
    assert terms == [("base", "cc-by-sa-4.0"), ("adapter", "apache-2.0"), ("data", "unknown")]
    asked = {a.duty: a.by for a in resolved.obligations.asked}
    assert asked["share_alike"] == ("CC BY-SA 4.0",)
    assert set(asked["attribution"]) == {"CC BY-SA 4.0", "Apache License 2.0"}
    assert [t.what for t in resolved.obligations.unknown] == ["training data"]


def test_the_demo_world_is_mapped():
    for name in ("th", "southeast-asia"):
        text = (ASSETS / "embedding" / name / "README.md").read_text()
        sources = parse_card(text).card.data_filter.sources
        assert {s.license.lower() for s in sources} <= table().licences.keys()


def test_data_and_translator_take_part(assets, hub_of):
    data = {
        "sources": [
            {"repo": "org/corpus", "revision": "1", "license": "CC-BY-NC-SA-4.0"},
            {"repo": "org/other", "revision": "1", "license": "unknown"},
        ],
        "rules": "unknown", "reward": "none", "translator": "facebook/nllb-200-3.3B",
        "counts": "unknown", "spec_digest": "unknown",
    }  # fmt: skip
    recard(assets, data_filter=data)
    hub, _ = hub_of(assets)
    asked = resolve(Request("th"), hub).obligations
    by_role = {t.role: t.licence for t in asked.terms if t.what != "org/other"}
    assert by_role["data"] == "cc-by-nc-sa-4.0"
    assert by_role["translator"] == "cc-by-nc-4.0"
    assert [t.what for t in asked.unknown] == ["org/other"]
    may_push(asked)  # the corpus is no part of the weights


def recard(assets, license_id="apache-2.0", **changes):
    folder = assets / "embedding" / "th"
    document = card("th", assets / "embedding" / "base", folder, **changes)
    document.front_matter["license"] = license_id
    write_card(folder, document)


def test_an_unmapped_licence_is_refused_with_the_place_to_add_it(assets, hub_of):
    recard(assets, license_id="my-own-1.0")
    hub, _ = hub_of(assets)
    reasons = {r.repo[-2:]: r.reason for r in resolve(Request("th"), hub).resolution.rejected}
    assert "whose licence 'my-own-1.0' nobody has reviewed" in reasons["th"]
    assert "ggez_hub/registry/licences.yaml" in reasons["th"]


def test_an_other_licence_goes_by_its_name(assets, hub_of):
    readme = assets / "embedding" / "base" / "README.md"
    readme.write_text("---\nlicense: other\nlicense_name: llama3.1\n---\n")
    hub, _ = hub_of(assets)
    resolution = resolve(Request("th"), hub).resolution
    assert resolution.base.license == "llama3.1"


def test_the_base_of_every_candidate_may_be_the_reason(assets, hub_of):
    (assets / "embedding" / "base" / "README.md").write_text(
        "---\nlicense: other\nlicense_name: never-seen\n---\n"
    )
    hub, _ = hub_of(assets)
    with pytest.raises(NoAdapter, match="never-seen"):
        resolve(Request("th"), hub)


@pytest.mark.parametrize(
    "licences",
    [("apache-2.0", "mit"), ("cc-by-sa-4.0", "apache-2.0"), ("gemma", "gemma"), ("gemma", "mit"),
     ("openrail++", "apache-2.0"), ("cc-by-sa-4.0", "cc-by-sa-3.0"), ("cc-by-nc-4.0", "mit"),
     ("cc-by-nc-sa-4.0", "cc-by-nc-4.0"), ("llama3.1", "apache-2.0")],
)  # fmt: skip
def test_what_may_be_pushed(licences):
    may_push(weights(*licences))


@pytest.mark.parametrize(
    ("licences", "reason"),
    [
        (("apache-2.0", "cc-by-nd-4.0"), "CC BY-ND 4.0 does not allow"),
        (("apache-2.0", "unknown"), "is not known"),
        (("cc-by-sa-4.0", "cc-by-nc-4.0"), "CC BY-SA 4.0 has to remain"),
        (("cc-by-sa-4.0", "gemma"), "Gemma Terms of Use asks for more"),
        (("cc-by-sa-4.0", "gpl-3.0"), "has to remain the licence of the result"),
    ],
)
def test_what_may_not_be_pushed(licences, reason):
    with pytest.raises(MayNotPush, match=reason) as refused:
        may_push(weights(*licences))
    assert "adapter and a recipe" in refused.value.hint


def test_the_hubs_keys():
    assert licence_front(weights("gemma", "gemma").of_weights) == {"license": "gemma"}
    assert licence_front(weights("unicode-3.0").of_weights) == {
        "license": "other",
        "license_name": "unicode-3.0",
        "license_link": "https://www.unicode.org/license.txt",
    }
    two = licence_front(weights("gemma", "apache-2.0").of_weights)
    assert two["license_name"] == "apache-2.0 and gemma"


def test_pull_says_it_and_the_card_keeps_it(seeded, tmp_path):
    arguments = ["pull", "--region", "th", "--hub", seeded.endpoint, "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("licence")]
    assert line.startswith("licence  CC BY-SA 4.0, ")
    assert line.endswith("share alike (--show-licenses)")
    assert "unknown for a part" in line
    result = CliRunner().invoke(cli, [*arguments, "--show-licenses"])
    assert "licence  Pass the result on under the same licence. [CC BY-SA 4.0]" in result.stdout
    assert "licence  unknown: training data" in result.stdout
    text = (tmp_path / "out" / "embedding" / "README.md").read_text()
    assert "license_name: apache-2.0 and cc-by-sa-4.0" in text
    assert "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)" in text
    again = CliRunner().invoke(cli, [*arguments, "--json"])
    document = json.loads(again.stdout)["obligations"]
    assert {a["duty"] for a in document["asked"]} >= {"share_alike", "notice"}
    assert document["unknown"] == ["training data"]


def test_a_locked_pull_asks_the_same(seeded):
    resolved = resolve(Request("th"), seeded)
    assert obligations(resolved.resolution, resolved.documents) == resolved.obligations


@pytest.mark.parametrize(
    ("downstream", "upstream", "missing"),
    [
        ("apache-2.0", "mit", ()),
        ("gpl-3.0", "apache-2.0", ()),
        ("cc-by-sa-4.0", "cc-by-sa-3.0", ()),
        ("llama3", "llama3", ()),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", ()),
        ("apache-2.0", "llama3", ("use_restrictions", "pass_on_terms", "naming", "limits")),
        ("llama3", "openrail", ("use_restrictions", "pass_on_terms")),
        ("apache-2.0", "cc-by-nc-sa-4.0", ("share_alike", "non_commercial")),
        ("openrail", "gpl-3.0", ("share_alike",)),
        ("cc-by-nc-nd-4.0", "cc-by-nd-4.0", ("no_derivatives",)),
    ],
)
def test_what_the_licence_of_a_derived_work_does_not_say(downstream, upstream, missing):
    assert unsaid(downstream, upstream) == missing


def test_the_documented_figures_are_those_that_are_measured():
    said = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    figures = [line for line in report() if not line.startswith("  ")]
    assert len(figures) == 5
    assert "\n".join(figures) in said
    assert {case.known for case in cases()} == {True, False}
