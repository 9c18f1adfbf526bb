"""`card measure`: what a sweep measured on the adapter's card, as a claim, and nothing of others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ggez_hub.cards import read_card
from ggez_hub.cards.curve import MeasuredCurve, with_measured
from ggez_hub.cli.main import cli
from ggez_hub.evaluation.models.model_under_test import decisive_files, model_digest
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.betas import beta_key
from ggez_hub.parity.curve import ParityCurve

from ..evaluation.results import SHARES, grid, header
from ..worlds import card, write_card

# beta -> right answers on the global and the regional side; the registry's best beta is 1.
OTHER = {0.0: (0.80, 0.40), 1.0: (0.79, 0.75)}


def run(*command):
    return CliRunner().invoke(cli, list(map(str, command)))


@pytest.fixture
def adapter(world, tmp_path):
    """An adapter's folder whose card holds no curve."""
    folder = shutil.copytree(world / "embedding" / "th", tmp_path / "th")
    write_card(
        folder, card("th", world / "embedding" / "base", folder, curve="unknown", level="declared")
    )
    return folder


def swept(adapter, out, shares=SHARES, *, adapters=None, weights=None, **changes):
    """Results of a sweep of the adapter, of made-up answers."""
    document = read_card(adapter / "README.md").card
    own = decisive_files(adapter)
    records = adapters or [{"name": "th", "region": "th", "files": own}]
    files = [record["files"] for record in records]
    models = {
        beta_key(beta): model_digest(weights or document.base.weights, files, beta)
        for beta in shares
    }
    fields = {"adapters": records, "models": models, **changes}
    write_results(out, header(**fields), grid(shares=shares))
    return out


def test_a_sweep_goes_onto_the_card_as_a_claim(adapter, tmp_path):
    results = swept(adapter, tmp_path / "out", policy="keep=0.9")
    before = read_card(adapter / "README.md")
    for _ in range(2):
        done = run("card", "measure", results, adapter, "--json")
        assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    document = read_card(adapter / "README.md")
    noted = document.card
    assert (document.prose, document.front_matter) == (before.prose, before.front_matter)
    assert (noted.level, noted.policy, noted.files) == ("measured", "keep=0.9", before.card.files)
    rows = [row for tasks in noted.curve.values() for row in tasks.values()]
    (answers,) = (adapter / "evidence").iterdir()
    evidence = open_evidence(results)
    assert {row.predictions for row in rows} == {evidence.header.sha256}
    assert {row.measured_by for row in rows} == {"self"}
    assert answers.read_bytes() == (results / "predictions.parquet").read_bytes()
    assert found["rows"] == len(rows) == 12
    assert found["answers"] == str(answers)
    # The joint errors are those of the answers: verify computes them again.
    assert set(noted.parity) == {"validation", "test"}
    checked = verify_evidence(adapter)
    assert (checked.problems, checked.unproven) == ((), 0)
    assert found["policies"]["keep=0.9"]["beta"] == checked.selection["beta"] == 0.5
    other = swept(adapter, tmp_path / "other", OTHER)
    assert run("card", "measure", other, adapter / "README.md").exit_code == 0
    again = read_card(adapter / "README.md").card
    # The claim is replaced, with its answers; what the card declares by now stays.
    assert (list(again.curve), again.policy) == (["0", "1"], "keep=0.9")
    assert len(list((adapter / "evidence").iterdir())) == 1
    assert verify_evidence(adapter).problems == ()


def test_what_the_registry_measured_stays_and_decides(adapter, tmp_path):
    by_registry = {"measured_by": "registry", "evaluator": "1" * 40}
    first = swept(adapter, tmp_path / "registry", OTHER, **by_registry)
    measured = open_evidence(first)
    from ggez_hub.automation.evaluation import measured as with_registry

    document = with_registry(read_card(adapter / "README.md"), measured, 1.0)
    write_card(adapter, document)
    (adapter / "evidence").mkdir()
    shutil.copyfile(first / "predictions.parquet", adapter / "evidence" / "registry.parquet")
    results = swept(adapter, tmp_path / "out")
    done = run("card", "measure", results, adapter)
    assert done.exit_code == 0, done.output
    assert "4 rows, measured by the author, level measured" in done.stdout
    assert "8 rows of the registry stay" in done.stdout
    noted = read_card(adapter / "README.md").card
    assert {key: rows for key, rows in noted.curve.items() if key != "0.5"} == document.card.curve
    assert {row.measured_by for row in noted.curve["0.5"].values()} == {"self"}
    assert noted.parity == document.card.parity
    assert select_beta(noted.measured, noted.alpha.value, "th").beta == 1
    checked = verify_evidence(adapter)
    assert (checked.problems, checked.unproven) == ((), 0)
    assert checked.selection["beta"] == 1
    # A claim is held to its answers as everything is.
    row = noted.curve["0.5"]["thai/test"]
    wrong = {**noted.curve["0.5"], "thai/test": row.model_copy(update={"score": row.score + 1})}
    changed = noted.model_copy(update={"curve": {**noted.curve, "0.5": wrong}})
    write_card(adapter, replace(document, card=changed))
    (problem,) = verify_evidence(adapter).problems
    assert "thai/test at beta 0.5" in problem
    # And the registry's, measured after a claim, goes before it.
    claimed = MeasuredCurve(swept_rows(results), "independent", "th")
    both = with_measured(claimed, document.card.measured)
    assert both.rows == noted.curve
    assert ParityCurve.of(both, "test", "th").measured_by == "registry"


def swept_rows(results):
    from ggez_hub.evaluation.results.measured_curve import curve_of

    return curve_of(open_evidence(results)).rows


def other_files(adapter):
    return dict.fromkeys(decisive_files(adapter), "1" * 64)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (lambda a: {"adapters": [{"name": "x", "region": "th", "files": other_files(a)}]},
         "does not have the sha256s of the card's files"),
        (lambda a: {"weights": {"open_clip_model.safetensors": "1" * 64}},
         "is not made of the base that the card names"),
        (lambda a: {"region": "vn"}, "is of the region vn, the card's is th"),
        (lambda a: {"models": {}}, "does not say which models were measured"),
        (lambda a: {"adapters": [], "models": {}}, "does not say which adapter was measured"),
    ],
    ids=["adapter", "base", "region", "models", "no adapter"],
)  # fmt: skip
def test_results_of_something_else_are_refused(adapter, tmp_path, changes, words):
    asked = changes(adapter)
    if asked.get("adapters") == []:
        results = tmp_path / "out"
        write_results(results, header(), grid())
    else:
        results = swept(adapter, tmp_path / "out", **asked)
    text = (adapter / "README.md").read_text()
    done = run("card", "measure", results, adapter)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert (adapter / "README.md").read_text() == text
    assert not (adapter / "evidence").exists()


def test_several_adapters_are_for_card_joint(adapter, tmp_path):
    from ggez_hub.parity.betas import point

    own = {"name": "th", "region": "th", "files": decisive_files(adapter)}
    other = {"name": "jp", "region": "jp", "files": other_files(adapter)}
    shares = {point([0.0, 0.0]): (0.8, 0.4), point([0.5, 0.25]): (0.7, 0.6)}
    results = swept(adapter, tmp_path / "out", shares, adapters=[own, other])
    done = run("card", "measure", results, adapter)
    assert done.exit_code == 2
    assert "measures 2 adapters together" in done.stderr
    assert "ggez-hub card joint RESULTS CARD..." in done.stderr
    one = swept(adapter, tmp_path / "one")
    done = run("card", "joint", one, adapter)
    assert done.exit_code == 2
    assert "ggez-hub card measure RESULTS CARD" in done.stderr


def test_figures_that_do_not_follow_are_refused(adapter, tmp_path):
    results = swept(adapter, tmp_path / "out")
    content = json.loads((results / "results.json").read_text())
    content["scores"]["0.5"]["thai/test"]["score"] += 1
    (results / "results.json").write_text(json.dumps(content))
    done = run("card", "measure", results, adapter)
    assert done.exit_code == 1
    assert "does not follow from its predictions" in done.stderr
    assert read_card(adapter / "README.md").card.curve == "unknown"
    # A card is not results, though it can be verified as well.
    good = swept(adapter, tmp_path / "good")
    assert run("card", "measure", good, adapter).exit_code == 0
    done = run("card", "measure", adapter, adapter)
    assert done.exit_code == 2
    assert "is a card" in done.stderr


def test_results_and_card_in_the_wrong_order(adapter, tmp_path):
    results = swept(adapter, tmp_path / "out")
    done = run("card", "measure", adapter, results)
    assert done.exit_code == 1
    assert "`ggez-hub card measure RESULTS CARD` puts them on a card" in done.stderr
