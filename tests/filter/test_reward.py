"""Reward scorers: models, an endpoint, a column; what they are refused for."""

from __future__ import annotations

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ggez_hub import chat_endpoint, demo, retry
from ggez_hub.chat_endpoint import EndpointFailed
from ggez_hub.data.model_folders import model_folder
from ggez_hub.data.rows import Row
from ggez_hub.data.scorers.spec import open_scorer
from ggez_hub.data.scorers.unified_reward import final_score, prompt_of
from ggez_hub.data.spec import FilterSpec
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.regions import find_region

from ..plugins.distribution import installed
from ..worlds import serving as hub_over
from .corpora import BASE, captions, encoded, picture, reward, sea_vl_crowdsourcing, spec
from .endpoint import serving
from .tiny import write_clip, write_judge

SAYS = {"[good]": "Final Score: 5", "[bad]": "Final Score: 1", "[odd]": "I cannot say"}
__all__ = ["installed"]

ASSETS = Path(demo.__file__).parent / "assets"


def row(text, seed=None, scores=()):
    image = {"bytes": encoded(picture(seed)), "path": None} if seed is not None else None
    return Row("r", "s", image, text, scores=[{"name": n, "value": v} for n, v in scores])


def scorer(folder, **keys):
    """A scorer as a spec names it."""
    return open_scorer(read(reward(**keys)).reward.scorer, folder)


def read(block) -> FilterSpec:
    return spec([BASE], reward=block)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return write_judge(tmp_path_factory.mktemp("models") / "judge", SAYS).parent


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Final Score: 4", 4.0),
        ("The caption fits. **Final Score:** 3.5", 3.5),
        ("Final Score: 2 ... on reflection\nFinal Score: 3", 3.0),
        ("final score: 5", 5.0),
        ("Final Score: 10", None),
        ("Final Score: 0", None),
        ("Final Score: five", None),
        ("4", None),
        ("", None),
    ],
)
def test_the_final_score_of_an_answer(answer, score):
    assert final_score(answer) == score


def test_the_prompt_ends_with_the_caption():
    said = prompt_of("a {caption} {0}")
    assert said.endswith("Text Caption: [a {caption} {0}]")
    assert "from 1 to 5 after 'Final Score:'" in said


def test_a_generated_score(judge):
    model = scorer(judge, kind="unified_reward", model="judge", dtype="float32", batch=2)
    rows = [row("good", 1), row("bad", 2), row("odd", 3), row("good"), row("bad", 4)]
    assert model.score(rows) == [5.0, 1.0, None, None, 1.0]
    assert model.name.startswith("UnifiedReward judge (weights ")


def test_clip_score_of_transformers_is_the_formula(tmp_path):
    model, _ = write_clip(tmp_path / "clip")
    rows = [
        row(text, seed) for seed, text in enumerate(["a boat", "bowl of soup", "on a river"] * 2)
    ]
    found = scorer(
        tmp_path, kind="clip_score", library="transformers", model="clip", batch=4
    ).score([*rows, row("a boat")])
    assert found.pop() is None

    from transformers import CLIPProcessor

    processor = CLIPProcessor.from_pretrained(tmp_path / "clip")
    for one, score in zip(rows, found, strict=True):
        image = Image.open(io.BytesIO(one.image["bytes"]))
        inputs = processor(text=[one.text], images=[image], return_tensors="pt")
        with torch.inference_mode():
            out = model(**inputs)
        cosine = torch.cosine_similarity(out.image_embeds, out.text_embeds).item()
        assert score == pytest.approx(2.5 * max(cosine, 0), abs=1e-5)
    assert min(found) > 0
    assert len(set(found)) == len(found)


def emoji(count):
    table = pq.read_table(ASSETS / "emoji-names" / "data" / "validation.parquet").slice(0, count)
    return [
        Row("r", "s", cell, name)
        for cell, name in zip(table["image"].to_pylist(), table["en"].to_pylist(), strict=True)
        if name
    ]


def test_clip_score_of_a_trained_model_tells_the_right_name():
    model = scorer(ASSETS / "embedding", kind="clip_score", library="open_clip", model="base")
    rows = emoji(60)
    right = np.array(model.score(rows))
    shifted = [replace(one, text=rows[n - 1].text) for n, one in enumerate(rows)]
    wrong = np.array(model.score(shifted))
    assert (right > wrong).mean() > 0.8


def test_a_filter_keeps_what_is_above_tau(tmp_path, judge, filtered):
    shutil.copytree(judge / "judge", tmp_path / "judge")
    source = captions(
        tmp_path, [("a", "good", "vn", 1), ("b", "bad", "vn", 2), ("c", "odd", "vn", 3)]
    )
    source["columns"] = source["columns"] | {
        "examples": [{"format": "caption", "answer": "text", "language": {"value": "en"}}]
    }
    block = reward(kind="unified_reward", model="judge", dtype="float32")
    report, kept = filtered([source], reward=block, duplicates="keep")
    assert [(r["id"], r["reward"]) for r in kept] == [("captions/a/caption", 5.0)]
    assert report.document["counts"]["dropped"] == {
        "reward": {"not > 3": 1, "the scorer gave no score": 1}
    }
    assert report.document["reward"]["agreement"] == "unmeasured"
    assert report.card_block().reward.threshold == 3.0


@pytest.mark.parametrize(("comparison", "kept"), [(">", ["a"]), (">=", ["a", "b"])])
def test_tau_is_compared_as_the_spec_says(tmp_path, filtered, comparison, kept):
    sea_vl_crowdsourcing(tmp_path / "a.parquet")
    block = reward(kind="column", column="cultural_relevance", comparison=comparison,
                   languages=["en", "vi", "th"])  # fmt: skip
    _, rows = filtered([BASE], reward=block)
    assert sorted({r["id"].split("/")[1] for r in rows}) == kept


def test_languages_that_a_scorer_is_not_made_for_get_no_score(tmp_path, filtered):
    sea_vl_crowdsourcing(tmp_path / "a.parquet")
    block = reward(threshold=0, kind="column", column="caption_fit")
    report, rows = filtered([BASE], reward=block)
    assert {r["language"] for r in rows} == {"en"}
    assert report.document["counts"]["dropped"]["reward"] == {
        "the scorer is not made for th": 1, "the scorer is not made for vi": 1,
    }  # fmt: skip


PLUGIN = """
from dataclasses import dataclass
from typing import Literal

from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.scorers.spec import ScorerSpec


@dataclass(frozen=True)
class Lengths(Scorer):
    most: int

    def score(self, rows):
        return [float(len(row.text) <= self.most) for row in rows]


class LengthScorer(ScorerSpec):
    kind: Literal["length"]
    most: int

    def open(self, base):
        return Lengths(f"length {self.most}", frozenset(self.languages), self.most)
"""


def test_a_scorer_of_a_plug_in(tmp_path, filtered, installed):
    sea_vl_crowdsourcing(tmp_path / "a.parquet")
    block = reward(threshold=0, kind="length", most=20, languages=["en"])
    with pytest.raises(ValidationError, match="needs a kind: column, clip_score"):
        filtered([BASE], reward=block)
    installed({"scorers": ["length = somebody_else:LengthScorer"]}, module=PLUGIN)
    report, rows = filtered([BASE], reward=block)
    assert [row["text"] for row in rows] == ["A wet rice field"]
    assert report.document["reward"]["plugin"] == {
        "distribution": "somebody-else", "version": "1.2.3",
        "entry_point": "somebody_else:LengthScorer",
    }  # fmt: skip
    with pytest.raises(ValidationError, match=r"reward\.\(\)\.scorer\.most"):
        filtered([BASE], reward={**block, "scorer": {"kind": "length", "languages": ["en"]}})


def test_a_scorer_for_no_language_of_the_rules_is_refused(tmp_path, filtered):
    sea_vl_crowdsourcing(tmp_path / "a.parquet")
    rules = {"keep": "all", "rules": [{"evidence": "language", "languages": ["th", "lo"]}]}
    with pytest.raises(UsageProblem, match="made for en, and the region's rules keep only lo, th"):
        filtered([BASE], keep_region=rules, reward=reward(kind="column", column="caption_fit"))


def test_the_base_under_training_is_no_scorer(tmp_path):
    write_clip(tmp_path / "base")
    shutil.copytree(tmp_path / "base", tmp_path / "copy")
    block = read(reward(kind="clip_score", library="transformers", model="copy")).reward.scorer
    for trained in ("copy", "base", "./copy"):
        with pytest.raises(UsageProblem, match="is the base under training"):
            open_scorer(block, tmp_path, trained=trained)
    hub = block.model_copy(update={"model": "CodeGoat24/UnifiedReward-7b"})
    with pytest.raises(UsageProblem, match="is the base under training"):
        open_scorer(hub, tmp_path, trained="codegoat24/unifiedreward-7b")


def test_a_model_without_safetensors_is_not_loaded(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(GgezError, match="no safetensors"):
        scorer(tmp_path, kind="clip_score", library="transformers", model="m")
    with pytest.raises(GgezError, match="there is no model"):
        scorer(tmp_path, kind="clip_score", library="transformers", model="absent")


def test_a_model_of_the_hub_is_taken_at_a_commit(tmp_path, monkeypatch):
    write_clip(tmp_path / "clip")
    (tmp_path / "clip" / "pytorch_model.bin").write_bytes(b"never fetched")
    with HubStore.open(tmp_path / "store") as store, hub_over(store) as endpoint:
        store.create_repo("model", "o/clip")
        files = {path.name: path for path in (tmp_path / "clip").iterdir()}
        who = {"message": "x", "author": "a", "email": "a@example.org", "date": 0}
        commit = str(store.commit("model", "o/clip", files, **who))
        monkeypatch.setattr(Hub, "of_environment", lambda: Hub(endpoint))
        found = model_folder("o/clip", "main", tmp_path, "transformers")
    assert found.name == f"o/clip@{commit[:12]}"
    assert (found.path / "model.safetensors").exists()
    assert not (found.path / "pytorch_model.bin").exists()


def by_caption(content):
    """The answer of the tiny judge, over a wire."""
    return SAYS[content[1]["text"].rpartition(" ")[2]]


def test_an_endpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "s3cret")
    with serving(by_caption) as (url, seen):
        model = scorer(tmp_path, kind="endpoint", url=url, model="judge", key_variable="JUDGE_KEY")
        rows = [row("good", 1), row("odd", 2), row("bad"), row("bad", 3)]
        assert model.score(rows) == [5.0, None, None, 1.0]
    headers, body = next(r for r in seen if "[good]" in r[1]["messages"][0]["content"][1]["text"])
    assert headers["Authorization"] == "Bearer s3cret"
    assert (body["model"], body["temperature"]) == ("judge", 0)
    address = body["messages"][0]["content"][0]["image_url"]["url"]
    assert base64.b64decode(address.partition("base64,")[2]) == rows[0].image["bytes"]
    assert "s3cret" not in repr(model) + model.name


def test_an_endpoint_that_is_busy_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.01)
    with serving(by_caption, failures=[503, 429]) as (url, seen):
        model = scorer(tmp_path, kind="endpoint", url=url, model="judge")
        assert model.score([row("good", 1)]) == [5.0]
    assert len(seen) == 3


@pytest.mark.parametrize(("status", "times"), [(400, 1), (307, 1), (500, retry.ATTEMPTS)])
def test_an_endpoint_that_refuses_stops_the_filter(tmp_path, monkeypatch, status, times):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.01)
    with serving(by_caption, failures=[status] * 9) as (url, seen):
        model = scorer(tmp_path, kind="endpoint", url=url, model="judge")
        with pytest.raises(EndpointFailed, match=f"HTTP {status}"):
            model.score([row("good", 1)])
    assert len(seen) == times


def test_an_endpoint_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.01)
    model = scorer(tmp_path, kind="endpoint", url="http://127.0.0.1:9/v1", model="judge")
    with pytest.raises(EndpointFailed, match="ConnectError"):
        model.score([row("good", 1)])


def test_a_key_that_is_not_set(tmp_path):
    with pytest.raises(UsageProblem, match="NOWHERE with the key is not set"):
        scorer(tmp_path, kind="endpoint", url="http://x/v1", model="m", key_variable="NOWHERE")


def test_the_picture_itself_may_be_evidence(tmp_path, filtered):
    """The rule decides as the model's own softmax over the prompts does."""
    from transformers import CLIPProcessor

    model, _ = write_clip(tmp_path / "clip")
    processor = CLIPProcessor.from_pretrained(tmp_path / "clip")
    members = find_region("southeast-asia").members
    countries = sorted({*members, "fr", "de"})
    with torch.inference_mode():
        logits = model(
            **processor(
                text=[f"a boat on {find_region(code).name}" for code in countries],
                images=[picture(n) for n in range(8)],
                return_tensors="pt", padding=True,
            )
        ).logits_per_image  # fmt: skip
    at_home = [code in members for code in countries]
    shares = logits.double().softmax(dim=1)[:, at_home].sum(dim=1).tolist()
    # Only every other row comes so far: half of those pass.
    ordered = sorted(shares[1::2])
    threshold = (ordered[1] + ordered[2]) / 2
    rule = {"evidence": "picture", "library": "transformers", "model": "clip",
            "countries": ["th", "vn", "fr", "de"], "prompt": "a boat on {country}",
            "threshold": threshold}  # fmt: skip
    rows = [(f"p{n}", f"Soup number {n}", "vn" if n % 2 else "fr", n) for n in range(8)]
    source = captions(tmp_path, rows)
    keys = {"keep": "all", "rules": [{"evidence": "metadata"}, rule]}
    report, kept = filtered([source], keep_region=keys)
    expected = [f"captions/p{n}/caption" for n in range(8) if n % 2 and shares[n] >= threshold]
    assert [r["id"] for r in kept] == expected
    assert report.document["evidence"]["picture"] == {"holds": 2, "another country": 2}
