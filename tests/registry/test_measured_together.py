"""A composition whose adapters were measured together: its betas come from the joint curve."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from ggez_hub.cards import BadCard, parse_card, read_card, render_card
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.registry.lock import read_lock

from ..worlds import BASE_REPO, card, curve, serving, write_adapter, write_card

TH, JP = (f"{BASE_REPO}-{name}" for name in ("th", "jp"))
# Of jp and th, in this order: the best GRP is at 0.5+0.25, which is no curve's own choice.
POINTS = {
    "0+0": (60.0, 10.0), "0+0.5": (54.0, 48.0), "0.5+0": (50.0, 12.0), "0.5+0.25": (56.0, 60.0),
    "0.5+0.5": (30.0, 50.0),
}  # fmt: skip


def files_of(folder):
    records = read_card(folder / "README.md").card.files
    return {path: record.sha256 for path, record in records.items()}


def joint(*folders, points=POINTS, region="th", measured_by="registry"):
    """A joint curve, as a card holds it."""
    rows = curve([region], points)
    for tasks in rows.values():
        for row in tasks.values():
            row["measured_by"] = measured_by
    adapters = [{"repo": "unknown", "files": files_of(folder)} for folder in folders]
    return {"region": region, "adapters": adapters, "curve": rows}


def world_of(assets, *curves, on="th"):
    """The world with an adapter of Japan, and joint curves on one card."""
    family = assets / "embedding"
    if not (family / "jp").is_dir():
        (family / "jp").mkdir()
        write_adapter(family / "jp", 3, family / "base")
    made = [make(family / "jp", family / "th") for make in curves]
    countries = {"th": None, "jp": ["th"]}
    document = card(on, family / "base", family / on, countries=countries[on], joint=made)
    write_card(family / on, document)
    return assets


@pytest.fixture(scope="module")
def hub(world, tmp_path_factory):
    """A hub whose Thai adapter's card has the joint curve; nobody changes it."""
    root = tmp_path_factory.mktemp("together")
    with HubStore.open(root / "store") as store:
        seed(store, world_of(shutil.copytree(world, root / "assets"), joint))
        with serving(store) as endpoint:
            yield Hub(endpoint)


def run(command, hub, *arguments):
    return CliRunner().invoke(cli, [command, "--hub", hub.endpoint, *map(str, arguments)])


def resolved(hub, *arguments):
    both = ("--region", "th", "--adapter", TH, "--adapter", JP)
    result = run("resolve", hub, *both, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def weights(document):
    return [adapter["beta"]["value"] for adapter in document["adapters"]]


def test_the_betas_are_those_of_the_joint_curve(hub):
    found = resolved(hub)
    # Asked for in the other order than they were measured in.
    assert weights(found) == [0.25, 0.5]
    assert {adapter["beta"]["why"] for adapter in found["adapters"]} == {"jointly"}
    assert found["composition"] == {"measured": True, "measured_by": "registry"}
    table = {line["model"]: line for line in found["table"]}
    assert table["composition"]["beta"] == [0.25, 0.5]
    assert table["composition"]["regional"] == 60
    assert table["base"]["regional"] == 10
    assert table[f"{JP} alone"]["regional"] == 12
    # th alone was measured at 0.5 only.
    assert not table[f"{TH} alone"]["measured"]
    other = run("resolve", hub, "--region", "th", "--adapter", JP, "--adapter", TH, "--json")
    assert weights(json.loads(other.stdout)) == [0.5, 0.25]


def test_it_is_said_with_its_reason(hub, tmp_path):
    both = ("--adapter", TH, "--adapter", JP)
    done = run("pull", hub, "--region", "th", *both, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    said = "a composition of several adapters, measured together on the tasks of th"
    assert said in done.stdout
    assert "the highest GRP on validation" in done.stdout
    text = (tmp_path / "out" / "embedding" / "README.md").read_text()
    assert said in text
    assert "unmeasured" not in text
    assert "| composition (beta 0.25+0.5) |" in text
    lock = tmp_path / "out" / "ggez.lock"
    locked = run("pull", hub, "--region", "th", "--locked", "--lock", lock, "-o", tmp_path / "b")
    assert said in locked.stdout
    assert read_lock(tmp_path / "b" / "ggez.lock") == read_lock(lock)


@pytest.mark.parametrize(
    ("betas", "measured", "words"),
    [
        (("0.5", "0"), True, "measured together"),
        (("0.5", "0.5"), True, "measured together"),
        (("0.3", "0.2"), False, "unmeasured at these betas: its joint curve has 0+0, 0.5+0, 0+0.5"),
    ],
)
def test_given_betas_are_measured_if_they_are_a_point(hub, betas, measured, words):
    given = [word for beta in betas for word in ("--beta", beta)]
    found = resolved(hub, *given)
    assert weights(found) == [float(beta) for beta in betas]
    assert found["composition"]["measured"] is measured
    both = ("--region", "th", "--adapter", TH, "--adapter", JP)
    assert words in run("resolve", hub, *both, *given).stdout


def test_the_cards_of_other_adapters_regions_or_points_say_nothing(assets, hub_of):
    def elsewhere(jp, th):
        return joint(jp, th, region="vn")

    def with_another(jp, th):
        made = joint(jp, th)
        made["adapters"][0]["files"] = dict.fromkeys(made["adapters"][0]["files"], "1" * 64)
        return made

    def at_chance(jp, th):
        return joint(jp, th, points=dict.fromkeys(POINTS, (60.0, 0.2)))

    hub, _ = hub_of(world_of(assets, elsewhere, with_another, at_chance))
    found = resolved(hub)
    assert found["composition"] == {"measured": False, "measured_by": None}
    assert weights(found) == [0.5, 0.5]
    assert found["table"] is None


def test_what_the_registry_measured_goes_before_a_claim(assets, hub_of):
    def claim(jp, th):
        shifted = {"0+0": (60.0, 10.0), "0.75+0.75": (60.0, 60.0)}
        return joint(jp, th, points=shifted, measured_by="self")

    hub, _ = hub_of(world_of(assets, claim, joint, on="jp"))
    assert weights(resolved(hub)) == [0.25, 0.5]


def test_alpha_decides_between_points(hub):
    assert weights(resolved(hub, "--alpha", "1")) == [0, 0]


def test_retune_of_a_composition(hub, tmp_path):
    both = ("--adapter", TH, "--adapter", JP)
    assert run("pull", hub, "--region", "th", *both, "-o", tmp_path / "out").exit_code == 0
    done = run("retune", hub, tmp_path / "out", "--alpha", "1", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["beta_before"], found["beta"], found["changed"]) == ([0.25, 0.5], [0, 0], True)
    assert found["ranges"][0]["beta"] == [0.25, 0.5]
    shown = run("retune", hub, tmp_path / "out", "--alpha", "1")
    assert f"a point's betas are of {TH}, {JP}, in this order" in shown.stdout
    assert f"--adapter {TH} --adapter {JP} --beta 0 --beta 0" in shown.stdout
    refused = run("retune", hub, tmp_path / "out", "--alpha", "1", "--publish")
    assert refused.exit_code == 2
    assert "not the curve of one adapter" in refused.stderr


def test_retune_of_a_composition_that_nobody_measured(assets, hub_of, tmp_path):
    hub, _ = hub_of(world_of(assets))
    both = ("--adapter", TH, "--adapter", JP)
    assert run("pull", hub, "--region", "th", *both, "-o", tmp_path / "out").exit_code == 0
    refused = run("retune", hub, tmp_path / "out", "--alpha", "1")
    assert refused.exit_code == 2
    assert "no card has a joint curve of" in refused.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda j: j["curve"].update({"0.5": j["curve"].pop("0+0")}), "a beta for each of the 2"),
        (lambda j: j["curve"].update({"0.50+0": j["curve"].pop("0+0")}), "in its shortest form"),
        (lambda j: j["adapters"].pop(), "at least 2 items"),
        (lambda j: j["adapters"].reverse() or [a["files"].update(
            dict.fromkeys(a["files"], "0" * 64)) for a in j["adapters"]], "of this card's `files`"),
    ],
)  # fmt: skip
def test_a_card_with_a_bad_joint_curve_is_refused(assets, change, words):
    family = world_of(assets, joint) / "embedding"
    document = read_card(family / "th" / "README.md")
    assert parse_card(render_card(document), "card").card == document.card
    block = document.card.model_dump(mode="json")
    change(block["joint"][0])
    front = document.front_matter | {"ggez": block}
    with pytest.raises(BadCard) as refused:
        parse_card(f"---\n{json.dumps(front, indent=1)}\n---\n", "card")
    assert words in refused.value.message
    assert "joint" in refused.value.message


def test_a_card_without_joint_curves_says_nothing_of_them(world):
    text = (world / "embedding" / "th" / "README.md").read_text()
    assert "joint" not in text
    assert AdapterCard.model_fields["joint"].default == []
