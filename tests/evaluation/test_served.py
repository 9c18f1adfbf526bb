"""Models behind an OpenAI-compatible endpoint, over HTTP: what is sent, and what becomes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import signal
import subprocess
import sys
import time
from threading import Barrier, Event, Lock

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ggez_hub import chat_endpoint
from ggez_hub.chat_endpoint import ChatEndpoint, data_url
from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.replies import READER
from ggez_hub.evaluation.models.endpoint_model import model_at
from tests.evaluation import benchmarks as made
from tests.faults import NotedClock
from tests.filter.endpoint import serving

OPTION = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made.write_cvqa(folder / "afaji" / "cvqa", 24)
    return folder


def picture_of(content):
    return base64.b64decode(content[0]["image_url"]["url"].partition("base64,")[2])


def choice_of(content):
    """What the server's model chooses: by the picture and the question."""
    text = content[1]["text"]
    options = OPTION.findall(text)
    number = hashlib.sha256(picture_of(content) + text.encode()).digest()[0]
    return options[number % len(options)], number


def model(content, body):
    """A model with log-probabilities; every seventh answer names nothing."""
    if isinstance(content, str):
        letter, said = "A", "A"
    else:
        (letter, text), number = choice_of(content)
        said = "I do not know." if number % 7 == 0 else f"{letter}. {text}"
    found = {"message": {"role": "assistant", "content": said}}
    if body.get("logprobs"):
        listed = {letter: -0.7, f" {letter}": -2.0, "The": -3.0, "Z": -4.0, "I": -5.0}
        if said.startswith("I "):
            listed = {"I": -0.1, "It": -3.0}
        top = [{"token": t, "logprob": v, "bytes": None} for t, v in listed.items()]
        found["logprobs"] = {"content": [{"token": letter, "logprob": -0.7, "top_logprobs": top}]}
    return found


def run(url, data, out, *more):
    return CliRunner().invoke(
        cli,
        ["eval", f"{url}#tiny/seer", "--suite", "cvqa", "--region", "ph", "-o", str(out), "--data",
         str(data), "--hub", "http://127.0.0.1:9", *more],
    )  # fmt: skip


def rows_of(out, ending=""):
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    return [row for row in rows if row["task"] == f"cvqa-english{ending}"]


def verify(out):
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert result.exit_code == 0, result.output


def test_letters_and_replies_come_from_one_request(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    out = tmp_path / "out"
    with serving(model, whole=True) as (url, seen):
        result = run(url, data, out, "--key-variable", "SERVER_KEY")
    assert result.exit_code == 0, result.output
    # One question at the start, and each question in two languages once.
    assert len(seen) == 1 + 2 * 24
    assert {headers["Authorization"] for headers, _ in seen} == {"Bearer s3cret"}
    asked = [body for _, body in seen[1:]]
    assert {(b["model"], b["temperature"], b["top_logprobs"]) for b in asked} == {("tiny/seer", 0, 20)}  # fmt: skip
    content = json.loads((out / "results.json").read_text())
    tasks = content["header"]["tasks"]
    assert tasks["cvqa-english"]["metric"] == "choice_by_letter"
    assert tasks["cvqa-english-by-generation"]["metric"] == "choice_by_generation"
    assert content["parity"]["test"]["scale"] == "choice_by_letter"
    said = {}
    for body in asked:
        question = body["messages"][0]["content"]
        said[question[1]["text"].partition("\n")[0]] = choice_of(question)
    written, letters = rows_of(out, "-by-generation"), rows_of(out)
    questions = {row["ID"]: row["Translated Question"] for row in made.cvqa_rows(24)}
    options = {row["ID"]: row["Translated Options"] for row in made.cvqa_rows(24)}
    # A right answer is at every position.
    assert {row["options"].index(row["gold"]) for row in letters} == {0, 1, 2, 3}
    unread = 0
    for row, other in zip(letters, written, strict=True):
        (letter, text), number = said[questions[row["item"]]]
        lost = number % 7 == 0
        unread += lost
        assert row["predicted"] == other["predicted"] == ("" if lost else text)
        assert row["raw"] == other["raw"] == ("I do not know." if lost else f"{letter}. {text}")
        # The options are shown in another order than the data have, the scores are in theirs.
        assert row["options"] == other["options"]
        assert row["options"]["ABCD".index(letter)] == text
        assert (row["reader"], other["reader"]) == (None, READER)
        own = row["log_likelihoods"][options[row["item"]].index(text)]
        assert own == (
            -math.inf if lost else pytest.approx(math.log(math.exp(-0.7) + math.exp(-2)))
        )
        assert math.isinf(sum(row["log_likelihoods"]))
    assert 0 < unread < len(letters)
    scores = content["scores"]["0"]
    sides = [scores[f"cvqa-english-by-generation/{s}"]["unparsed"] for s in ("validation", "test")]
    assert sum(sides) == unread
    verify(out)
    everything = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"s3cret" not in everything + result.output.encode()


def silent(content, body):
    del body
    return model(content, {})


def refusing(content, body):
    return 400 if "logprobs" in body else model(content, body)


@pytest.mark.parametrize("server", [silent, refusing])
def test_a_server_without_log_probabilities_is_told_of(server, data, tmp_path):
    with serving(server, whole=True) as (url, seen):
        result = run(url, data, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "gives no log-probabilities" in result.stderr
    assert not any("logprobs" in body for _, body in seen[2:])
    tasks = json.loads((tmp_path / "out" / "results.json").read_text())["header"]["tasks"]
    assert {task["metric"] for task in tasks.values()} == {"choice_by_generation"}
    verify(tmp_path / "out")


def test_a_run_that_broke_off_goes_on_where_it_was(data, tmp_path, monkeypatch):
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.01)
    asked = []

    def dying(content, body):
        asked.append(content)
        return 503 if len(asked) > 20 else model(content, body)

    with serving(dying, whole=True) as (url, _):
        broken = run(url, data, tmp_path / "out", "--parallel", "1")
        assert broken.exit_code == 1
        assert "HTTP 503" in broken.output
        assert "finished answers are kept" in broken.output
    with serving(model, whole=True) as (url, seen):
        # On another port, perhaps: it is the model's name that tells it.
        assert run(url, data, tmp_path / "out", "--parallel", "1").exit_code == 0
    # Nineteen answers were kept; one question asks whether the server is there.
    assert len(seen) == 1 + 2 * 24 - 19
    verify(tmp_path / "out")
    # Another run asks again: the weights behind a name may have changed.
    with serving(model, whole=True) as (url, seen):
        assert run(url, data, tmp_path / "other").exit_code == 0
    assert len(seen) == 1 + 2 * 24
    assert rows_of(tmp_path / "other") == rows_of(tmp_path / "out")


@pytest.mark.slow
def test_a_killed_run_loses_what_is_on_its_way_alone(data, tmp_path):
    asked, release, lock = [], Event(), Lock()

    def slow(content, body):
        """The twelfth question never comes back, and after twenty none does."""
        if not isinstance(content, str):
            with lock:
                asked.append(content[1]["text"])
                number = len(asked)
            if number == 12 or number > 20:
                release.wait(600)
        return model(content, body)

    out = tmp_path / "out"
    with serving(slow, whole=True) as (url, _):
        running = subprocess.Popen(
            [sys.executable, "-m", "ggez_hub", "eval", f"{url}#tiny/seer", "--suite", "cvqa",
             "--region", "ph", "-o", str(out), "--data", str(data), "--hub", "http://127.0.0.1:9",
             "--parallel", "4"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while len(asked) < 23 and running.poll() is None:
            time.sleep(0.05)
        running.kill()
        running.wait()
        release.set()
    # Four were on their way: the twelfth, which held up none after it, and the last three.
    assert (len(asked), running.returncode) == (23, -signal.SIGKILL)
    with serving(model, whole=True) as (url, seen):
        assert run(url, data, out).exit_code == 0
    assert len(seen) == 1 + 2 * 24 - 19
    verify(out)


def test_questions_are_asked_at_once():
    together = Barrier(4, timeout=120)

    def waiting(content):
        together.wait()
        return content

    with serving(waiting) as (url, _):
        endpoint = ChatEndpoint(url, "m", 4, 8)
        chats = [[{"role": "user", "content": str(n)}] for n in range(8)]
        assert [c.text for c in endpoint.complete(chats)] == [str(n) for n in range(8)]


def test_a_server_that_repeats_the_key_does_not_get_it_printed(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", "s3cret")
    with serving(lambda _: 401) as (url, seen):
        result = run(url, data, tmp_path / "out", "--key-variable", "SERVER_KEY")
    assert (result.exit_code, len(seen)) == (1, 1)
    assert "HTTP 401: refused Bearer ..." in result.output
    assert "s3cret" not in result.output


def test_a_server_may_say_when_to_come_back(monkeypatch):
    waited = NotedClock.of_clients(monkeypatch)
    with serving(lambda _: "yes", failures=[429], retry_after="7") as (url, _):
        (found,) = ChatEndpoint(url, "m", 1, 8).complete([[{"role": "user", "content": "x"}]])
    assert found.text == "yes"
    assert waited == [7.0]


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://localhost:8000/v1", "names no model"),
        ("http:///v1#m", "names no model"),
        ("http://[::1#m", "names no model"),
        ("http://host:port/v1#m", "names no model"),
        ("http://a b/v1#m", "names no model"),
        ("http://user:pw@localhost/v1#m", "may hold no password"),
        ("http://localhost/v1?key=x#m", "names no model"),
    ],
)
def test_addresses_that_are_none(address, problem):
    with pytest.raises(UsageProblem, match=problem):
        model_at(address)


def test_no_adapter_goes_to_an_endpoint(data, tmp_path):
    result = run("http://127.0.0.1:9/v1", data, tmp_path / "out", "--adapter", "x", "--beta", "1")
    assert result.exit_code == 2
    assert "an endpoint takes no adapter" in result.output


def test_other_formats_are_sent_as_png(tmp_path):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(made.png(5))).save(stream, "WEBP", lossless=True)
    address = data_url(stream.getvalue())
    assert address.startswith("data:image/png;base64,")
    sent = Image.open(io.BytesIO(base64.b64decode(address.partition("base64,")[2])))
    assert sent.tobytes() == Image.open(io.BytesIO(made.png(5))).tobytes()
    assert data_url(made.png(5)).endswith(base64.b64encode(made.png(5)).decode())
