"""The paper's tables, rechecked: what follows, what does not, and that a check can fail."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.paper.checks import MeanRank, ShareOf, Weighted
from ggez_hub.paper.rules import recheck
from ggez_hub.paper.tables import Figure, paper_recipes, tables
from tests.evaluation.benchmarks import write_cvqa, write_sea_vqa
from tests.evaluation.towers import SIGLIP, write_towers


def run(*arguments):
    return CliRunner().invoke(cli, ["reproduce", *arguments])


def changed(number, row, column, value):
    """A table with one other number."""
    table = tables()[number]
    cell = Figure.printed(Fraction(str(value)), table.rows[row][column].half)
    rows = {name: dict(cells) for name, cells in table.rows.items()}
    rows[row][column] = cell
    return replace(table, rows=rows)


def of(reports, number):
    return next(report for report in reports if report.table.number == number)


@pytest.fixture(scope="module")
def reports():
    return recheck()


def test_a_cell_is_an_interval_of_its_rounding():
    assert tables()["1"].rows["Google Gemma-3"]["GRP"] == Figure.printed(
        Fraction("59.4"), Fraction("0.05")
    )
    # JSON keeps no final zero: 60.0 of Table 3 is printed as 60.00.
    assert tables()["3"].rows["StabilityAI SDXL"]["other"].half == Fraction("0.005")
    # Two cells of Table 15 have more digits than the others.
    assert tables()["15"].rows["SEA-Mammoth 50k"]["tha"].half == Fraction("0.005")
    assert tables()["15"].rows["SEA-Mammoth 50k"]["khm"].half == Fraction("0.05")


def test_table_16_comes_out_of_kofs_file_in_all_cells(reports):
    report = of(reports, "16")
    assert len(report.findings) == 279
    assert report.discrepancies == ()
    assert "43.37" in report.notes[0]
    ten = next(f for f in report.findings if (f.row, f.column) == ("2023", "SEA"))
    assert round(float(ten.recomputed), 4) == 43.4014
    assert "10 countries" in ten.rule


def test_tables_1_and_5_follow_within_rounding(reports):
    for number, derived in (("1", 30), ("5", 30)):
        report = of(reports, number)
        assert (len(report.findings), report.discrepancies) == (derived, ())


def test_what_does_not_follow(reports):
    found = {
        (f.table, f.row, f.column): (float(f.printed), round(float(f.recomputed), 2))
        for report in reports
        for f in report.discrepancies
    }
    # Ranks of three models sum to 6.
    ranks = {key[2]: value for key, value in found.items() if key[1] == "sum of the rows"}
    assert ranks == {
        "global": (6.14, 6), "sea": (6.54, 6), "fil": (6.32, 6), "ind": (6.51, 6),
        "tha": (6.79, 6), "vie": (6.74, 6), "zsm": (6.32, 6),
    }  # fmt: skip
    assert found["2", "SEA-Gemma-3 (w/o merge)", "GRP"] == (1.74, 1.78)
    # A macro average among micro averages.
    assert found["10", "SEA-Gemma-3 (w/o merge)", "avg"] == (41.9, 41.52)
    assert "(w/o merge) 41.91" in of(reports, "10").notes[0]
    # No k of 189 questions is 37.5 %.
    assert found["10", "Google Gemma-3", "mys"] == (37.5, 37.57)
    assert len(found) == 15


def test_the_global_column_contains_the_region(reports):
    assert "17.8 to 18.5 %" in of(reports, "5").notes[0]
    broken = changed("5", "Google SigLIP2", "cvqa_global", 25.7)
    from ggez_hub.paper.checks import OneShare

    check = OneShare("cvqa_global", "cvqa_sea", "cvqa_others")
    low, high = check.share(broken)
    assert low > high
    assert any(not f.consistent for f in check.findings(broken, tables()))


def test_one_wrong_digit_is_found():
    mean = Weighted("a", {"b": Fraction(1, 2), "c": Fraction(1, 2)}, "mean")
    table = replace(
        tables()["1"],
        rows={"r": {n: Figure.printed(Fraction(v), Fraction("0.05")) for n, v in
                    (("a", "10.1"), ("b", "10"), ("c", "10"))}},
    )  # fmt: skip
    (finding,) = mean.findings(table, tables())
    # Rounding of all three allows 0.1, and that is the limit.
    assert (finding.difference, finding.tolerance) == (Fraction("0.1"), Fraction("0.1"))
    assert finding.consistent
    (worse,) = mean.findings(changed_row(table, "a", "10.2"), tables())
    assert not worse.consistent
    for row in ("Google Gemma-3", "SEA-Gemma-3 10%"):
        wrong = changed("1", row, "GRP", 63.1)
        parity = Weighted("GRP", {"global_avg": Fraction("0.43"), "sea_avg": Fraction("0.57")}, "")
        found = {f.row: f.consistent for f in parity.findings(wrong, tables())}
        assert found.pop(row) is False
        assert all(found.values())


def changed_row(table, column, value):
    cells = dict(table.rows["r"])
    cells[column] = Figure.printed(Fraction(value), cells[column].half)
    return replace(table, rows={"r": cells})


def test_a_share_of_n_questions():
    (finding,) = [
        f
        for f in ShareOf({"tha": "tha"}).findings(tables()["10"], tables())
        if f.row == "SEA-Gemma-3 10%"
    ]
    assert finding.recomputed == Fraction(100 * 96, 184)
    assert finding.consistent
    odd = changed("10", "SEA-Gemma-3 10%", "tha", 52.4)
    found = {f.row: f.consistent for f in ShareOf({"tha": "tha"}).findings(odd, tables())}
    assert [row for row, good in found.items() if not good] == ["SEA-Gemma-3 10%"]


def test_mid_ranks_sum_to_6():
    rows = {
        name: {"x": Figure.printed(Fraction(rank), Fraction("0.005"))}
        for name, rank in (("a", "2.5"), ("b", "2.5"), ("c", "1"))
    }
    (finding,) = MeanRank(("x",)).findings(replace(tables()["2"], rows=rows), tables())
    assert finding.consistent


def test_the_command():
    result = run("2604.11490", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert {n: (t["derived"], t["consistent"]) for n, t in document["tables"].items()} == {
        "1": (30, 30), "2": (13, 5), "3": (0, 0), "4": (24, 24), "5": (30, 30),
        "10": (54, 49), "14": (45, 45), "15": (45, 43), "16": (279, 279),
    }  # fmt: skip
    assert len(document["findings"]) == 520
    assert all(not f["consistent"] for f in document["discrepancies"])
    likert = run("2604.11490", "--table", "4").stdout
    assert "correctness +0.078, of at least ±0.067 and at most ±0.118" in likert
    people = run("2604.11490", "--table", "2")
    assert people.exit_code == 0
    assert "average ranks of 3 models sum to 6" in people.stdout
    assert "Table 16" not in people.stdout
    assert "within rounding" in run("2604.11490", "--table", "16").stdout


def test_table_4_follows_from_no_other_numbers_of_ratings():
    """Of Tradition, Landmark and Cuisine every mean of a row is k / n, for one n in all rows but one."""
    rows = list(tables()["4"].rows.values())

    def fit(cells, n):
        return all(abs(Fraction(round(c.value * n), n) - c.value) <= c.half for c in cells)

    for part, count, whose in (("T", 150, rows[1:]), ("L", 129, rows), ("C", 150, rows)):
        cells = [row[f"{scale}_{part}"] for row in whose for scale in "cn"]
        assert [n for n in range(20, 2 * count) if fit(cells, n)] == [count]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1234.5678"], "no paper"),
        (["2604.11490", "--table", "7"], "no Table 7"),
        (["2604.11490", "--table", "16", "--run"], "no model is run for Table 16"),
    ],
)
def test_what_is_not_there(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_headline_claims_are_part_of_the_command():
    document = json.loads(run("2604.11490", "--json").stdout)
    alone = json.loads(run("2604.11490", "--claims", "--json").stdout)
    assert alone["claims"] == document["claims"]
    assert alone["claim_notes"] == document["claim_notes"]
    assert "claims" not in json.loads(run("2604.11490", "--table", "1", "--json").stdout)
    text = run("2604.11490", "--claims").stdout
    assert "+13.32 [+13.13, +13.51]" in text
    assert "The paper's discrepancies" not in text
    for arguments in (["--table", "1"], ["--run"]):
        refused = run("2604.11490", "--claims", *arguments)
        assert refused.exit_code == 2
        assert "Leave out --table and --run" in refused.stderr


def test_the_recipes_are_those_of_the_tables():
    found = {recipe.path.stem: recipe for recipe in paper_recipes()}
    assert {name: (r.tables, r.unknown) for name, r in found.items()} == {
        "vlm": (("1", "10", "15"), ("adapter",)),
        "embedding": (("5", "14"), ("adapter",)),
        "diffusion": (("3", "4"), ("adapter", "tasks", "judge")),
    }
    for recipe in found.values():
        rows = tables()[recipe.tables[0]].rows
        # Base, the merges that the paper prints in per cent, and the fine-tune.
        shown = {int(n.rsplit(" ", 1)[1].rstrip("%")) / 100 for n in rows if n.endswith("%")}
        assert set(recipe.recipe.betas) == {0, 1} | shown
        for suite in recipe.recipe.tasks:
            assert suite == "unknown" or find_benchmarks(suite)
    result = run("2604.11490", "--run", "--table", "1")
    assert result.exit_code == 0
    assert "google/gemma-3-27b-it" in result.stdout
    assert "ggez-hub sweep RECIPE -o RESULTS" in result.stdout
    assert "siglip2" not in result.stdout
    (only,) = json.loads(run("2604.11490", "--run", "--table", "5", "--json").stdout)["recipes"]
    assert only["recipe"]["base"] == "google/siglip2-so400m-patch14-384"
    with pytest.raises(UsageProblem):
        paper_recipes(["2"])


@pytest.mark.slow
def test_a_recipe_runs_once_it_is_filled_in(tmp_path):
    """On a tiny SigLIP and a fine-tune of it, with data of the benchmarks' shape."""
    (recipe,) = paper_recipes(["5"])
    base = write_towers(tmp_path / "base", SIGLIP)
    tuned = shutil.copytree(base, tmp_path / "tuned")
    weights = load_file(tuned / "model.safetensors")
    save_file(
        {n: t * 1.5 for n, t in weights.items()}, tuned / "model.safetensors", {"format": "pt"}
    )
    write_cvqa(tmp_path / "data" / "afaji" / "cvqa", 40)
    write_sea_vqa(tmp_path / "data" / "wit543" / "sea-vqa", 6, fetched=tmp_path / "pictures")
    place = tmp_path / "sweep.yaml"

    def swept(text):
        place.write_text(text)
        return CliRunner().invoke(
            cli, ["sweep", str(place), "-o", str(tmp_path / "out"), "--hub", "http://127.0.0.1:9"]
        )

    left = swept(recipe.text)
    assert left.exit_code == 2
    assert "leaves open: adapter" in left.output
    text = recipe.text.replace("google/siglip2-so400m-patch14-384", "base")
    text = text.replace("adapter: unknown", "adapter: tuned\ndata: data\npictures: pictures")
    done = swept(text)
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(content["scores"]) == {"0", "0.25", "0.5", "0.75", "1"}
    assert content["header"]["alpha"]["value"] == 0.43
    assert content["scores"]["1"]["cvqa-english/test"]["contamination"] == "contamination unknown"
