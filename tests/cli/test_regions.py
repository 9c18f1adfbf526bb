import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import COMMANDS, cli


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `ggez-hub` in this process, with an empty data folder of the user."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return lambda *arguments: CliRunner().invoke(cli, arguments)


def document(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", ["alpha", "grp", "kof", "regions"])
def test_help_lines_are_those_of_the_table(name):
    command = cli.get_command(None, name)
    assert command.get_short_help_str(limit=200) == COMMANDS[name].help


def test_alpha_of_southeast_asia_mentions_the_papers_ten(run):
    result = run("alpha", "southeast-asia")
    assert result.exit_code == 0
    assert "alpha 0.433700: the mean of 11 of 11 countries" in result.stdout
    assert "43.40 is the mean of ten" in result.stdout
    assert "43.37" in result.stdout
    assert "43.40" not in run("alpha", "sea", "--year", "2018").stdout


def test_alpha_as_json_has_exactly_the_promised_keys(run):
    answer = document(run("alpha", "ไทย", "--json"))
    assert answer.pop("population_source").startswith("territoryInfo of CLDR's")
    assert answer == {
        "region": "th",
        "alpha": pytest.approx(0.373971),
        "year": 2023,
        "series": "KOFIpGIdf",
        "release": "2025",
        "members": ["th"],
        "missing": [],
        "fallback": None,
        "median": pytest.approx(0.373971),
        "population_weighted": pytest.approx(0.373971),
        "panel": None,
    }


def test_alpha_of_a_group_beside_its_other_averages(run):
    text = run("alpha", "sea").stdout
    assert "Median of the 11 countries: 0.349224" in text
    assert "Weighted by population: 0.254" in text
    assert f"language_data {version('language_data')}" in text
    # One country has one value.
    assert "Median" not in run("alpha", "th").stdout
    # KOF's row of a World Bank region: its countries are not known.
    answer = document(run("alpha", "south-asia", "--json"))
    assert (answer["median"], answer["population_weighted"]) == (None, None)


def test_alpha_over_the_years_marks_who_entered(run):
    text = run("alpha", "sea", "--years", "1970-2023").stdout
    assert (
        "Fixed panel, a value in every year from 1970 to 2023: id kh la mm my ph sg th vn" in text
    )
    assert "In some years only: bn tl" in text
    assert "1984: bn entered: alpha 0.2817 -> 0.3378; the mean of the countries in both" in text
    assert "2002: tl entered" in text
    (row,) = [line for line in text.splitlines() if line.startswith("1984  ")]
    assert row.split() == ["1984", "10", "0.3378", "0.2796", "0.2216", "0.1301", "+bn"]
    answer = document(run("alpha", "sea", "--years", "1970-2023", "--json"))
    assert answer["alpha"] == document(run("alpha", "sea", "--json"))["alpha"]
    assert len(answer["panel"]["years"]) == 54
    assert answer["panel"]["partial"] == ["bn", "tl"]
    assert [y["year"] for y in answer["panel"]["years"] if y["entered"] or y["left"]] == [
        1984,
        2002,
    ]


def test_alpha_over_the_years_without_known_countries_or_values(run):
    text = run("alpha", "south-asia", "--years", "1990-1991").stdout
    assert "Which countries are behind KOF's row is unknown: there is no fixed panel." in text
    refused = run("alpha", "kp", "--years", "1990-2000")
    assert refused.exit_code == 2
    assert "ggez-hub alpha m49-030 --years" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--years", "90"], "is not a span of years such as 1970-2023"),
        (["--years", "1990-"], "is not a span of years"),
        (["--years", "2000-1990"], "end before they begin"),
        (["--years", "1960-1990"], "Its years are 1970 to 2023"),
        (["--years", "1990-2000", "--year", "1990"], "one of --year and --years"),
    ],
)
def test_years_that_cannot_be_shown(run, arguments, words):
    result = run("alpha", "sea", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_north_korea_falls_back_and_says_so(run):
    result = run("alpha", "kp")
    assert "kp has no value, so this is the alpha of m49-030" in result.stdout
    assert document(run("alpha", "kp", "--json"))["fallback"] == "m49-030"


@pytest.mark.parametrize("command", ["alpha", "regions"])
@pytest.mark.parametrize(
    ("code", "meant"), [("vi", "vn"), ("my", "mm"), ("tl", "ph"), ("km", "kh")]
)
def test_the_first_line_spells_out_a_code_that_is_a_language_too(run, command, code, meant):
    first = run(command, code).stdout.splitlines()[0]
    assert first.startswith(f"{code} is ")
    assert f"official in {meant} (" in first


@pytest.mark.parametrize("command", ["alpha", "regions"])
def test_an_unknown_region_exits_2_with_near_ids(run, command):
    result = run(command, "thailnd")
    assert result.exit_code == 2
    assert "there is no region 'thailnd'" in result.stderr
    assert "Did you mean th (Thailand)?" in result.stderr
    assert result.stdout == ""


def test_a_year_that_is_not_there_exits_2(run):
    result = run("alpha", "th", "--year", "2050")
    assert result.exit_code == 2
    assert "1970 to 2023" in result.stderr


def test_regions_lists_the_groups(run):
    text = run("regions").stdout
    assert "southeast-asia sea m49-035" in text
    assert "sub-saharan-africa" in text
    listed = {row["id"]: row for row in document(run("regions", "--json"))}
    assert len(listed["southeast-asia"]["members"]) == 11
    assert listed["south-asia"]["members"] == []


def test_regions_shows_one_region(run):
    text = run("regions", "Thailand").stdout
    assert "Names: Thailand, ไทย" in text
    assert "Fallback chain: th > southeast-asia" in text
    assert "With --fallback wide also: m49-142 > world" in text
    answer = document(run("regions", "th", "--json"))
    assert answer["fallback_chain"] == ["th", "southeast-asia"]
    assert answer["languages"][0]["tag"] == "th"
    assert answer["alpha"]["region"] == "th"
    assert "unknown" in run("regions", "south-asia").stdout


def test_grp_of_the_papers_best_row(run):
    arguments = ("grp", "--global", "64.4", "--regional", "63.8")
    answer = document(run(*arguments, "--alpha", "0.43", "--json"))
    assert answer == {"grp": pytest.approx(64.058), "alpha": 0.43}
    assert "GRP 64.06" in run(*arguments, "--alpha", "0.43").stdout
    answer = document(run(*arguments, "--region", "sea", "--json"))
    assert answer["alpha"] == pytest.approx(0.4337, abs=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--global", "64", "--regional", "63"),
        ("--global", "64", "--regional", "63", "--alpha", ".4", "--region", "th"),
        ("--global", "101", "--regional", "63", "--alpha", ".4"),
        ("--global", "64", "--regional", "nan", "--alpha", ".4"),
        ("--global", "64", "--regional", "63", "--alpha", "43"),
        ("--global", "64", "--alpha", ".4"),
    ],
)
def test_grp_refuses_what_is_no_score_or_weight(run, arguments):
    result = run("grp", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_kof_import_and_list(run, tmp_path):
    assert [row["release"] for row in document(run("kof", "--json"))] == ["2025"]
    path = tmp_path / "kof_2026.csv"
    path.write_text("code,country,year,KOFIpGIdf\nTHA,Thailand,2024,50\n", encoding="utf-8")
    answer = document(run("kof", "import", str(path), "--json"))
    assert (answer["release"], answer["series"]) == ("2026", ["KOFIpGIdf"])
    assert "2026  2024-2024" in run("kof", "list").stdout
    assert document(run("alpha", "th", "--release", "2026", "--json"))["alpha"] == 0.5
    assert document(run("alpha", "th", "--json"))["release"] == "2025"
    path.write_text("code,country,year,KOFIpGIdf\nTHA,Thailand,2024,500\n", encoding="utf-8")
    refused = run("kof", "import", str(path), "--release", "bad")
    assert refused.exit_code == 2
    assert "line 2, KOFIpGIdf" in refused.stderr
    assert [row["release"] for row in document(run("kof", "--json"))] == ["2025", "2026"]


def test_the_commands_import_nothing_heavy():
    code = (
        "import sys; from ggez_hub.cli.main import cli; "
        "cli(['alpha', 'th'], standalone_mode=False); "
        "print(sorted({'torch', 'numpy', 'rich', 'huggingface_hub', 'langcodes'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
