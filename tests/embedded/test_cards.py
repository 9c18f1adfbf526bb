"""Tags and metadata from a card's front matter."""

import json
import subprocess
import sys

import pytest

from ggez_hub.embedded import cards


def card(text):
    return cards.front_matter(f"---\n{text}\n---\nbody\n".encode())


def tags(text, files=(), kind="model"):
    return cards.tags(kind, card(text), b"", list(files))


@pytest.mark.parametrize(
    "readme", [b"", b"# Title\n", b"--- not front matter", b"---\n---\n", b"\xff"]
)
def test_a_card_without_metadata(readme):
    assert cards.front_matter(readme) == {}


def test_values_are_plain_json():
    data = card("date: 2026-04-01\nlanguage: no\nn: .nan\n1: x\nlist: [a, {b: yes}]\nok: true")
    assert data == {
        "date": "2026-04-01",
        "language": "no",
        "n": "nan",
        "1": "x",
        "list": ["a", {"b": "yes"}],
        "ok": True,
    }
    assert json.dumps(data, allow_nan=False)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- a list",
        "just text",
        "a: !!python/object/apply:os.system [ls]",
        "a: &a [*a]",
        "\n".join(f"k{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9) if n else 'x'}]" for n in range(9)),
        "a: " + "[" * 500,
    ],
)
def test_metadata_that_are_refused(text):
    with pytest.raises(cards.CardError):
        card(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 200_000,
        "a: " + "{a: " * 200_000,
        "- " * 200_000,
        "? " * 200_000,
        "\n".join(" " * n + "a:" for n in range(1000)),
        "a: " + "[" * 65 + "]" * 65,
    ],
    ids=["lists", "mappings", "items", "keys", "lines", "just too deep"],
)
def test_nesting_that_would_end_the_server(text):
    """It has taken the process with it: a subprocess shows that without ending the tests."""
    code = (
        "import sys\nfrom ggez_hub.embedded import cards\n"
        "try: cards.front_matter(sys.stdin.buffer.read())\n"
        "except cards.CardError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=f"---\n{text}\n---\n".encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"nests deeper than 64" in done.stdout


def test_lists_that_are_many_and_not_deep():
    assert card("\n".join(f"k{n}: [a, [b]]" for n in range(100)))["k99"] == ["a", ["b"]]


def test_merged_mappings():
    assert card("a: &a {k: v}\nb: {<<: *a, l: w}") == {"a": {"k": "v"}, "b": {"k": "v", "l": "w"}}


def test_a_bomb_of_merge_keys():
    """In a process of its own, which has to end: twelve lines stand for a billion keys."""
    lines = ["a0: &a0 {k: v}"]
    for n in range(1, 12):
        aliases = ", ".join([f"*a{n - 1}"] * 10)
        lines.append(f"a{n}: &a{n} {{<<: [{aliases}]}}")
    code = (
        "import sys; from ggez_hub.safe_yaml import BadYaml, load_as_hub\n"
        "try: load_as_hub(sys.stdin.read())\n"
        "except BadYaml as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(lines), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ended.stdout == "its mappings have more than 100,000 keys\n"


def test_numbers_in_base_60_are_text():
    long = "1" + ":59" * 200_000
    assert card(f"time: 12:30\nlong: {long}\nn: 0x10\nf: 1.5") == {
        "time": "12:30",
        "long": long,
        "n": 16,
        "f": 1.5,
    }


def test_windows_line_ends():
    assert cards.front_matter(b"---\r\nlicense: mit\r\n---\r\n") == {"license": "mit"}


@pytest.mark.parametrize(
    ("text", "files", "relation"),
    [
        ("base_model: a/b", [], "finetune"),
        ("base_model: a/b", ["adapter_config.json"], "adapter"),
        ("base_model: a/b\nlibrary_name: peft", [], "adapter"),
        ("base_model: [a/b, c/d]", [], "merge"),
        ("base_model: a/b", ["x.gguf"], "quantized"),
        ("base_model: a/b\nbase_model_relation: merge", ["adapter_config.json"], "merge"),
    ],
)
def test_the_relation_to_the_base(text, files, relation):
    found = tags(text, files)
    assert "base_model:a/b" in found
    assert f"base_model:{relation}:a/b" in found


@pytest.mark.parametrize(
    ("text", "files", "library"),
    [
        ("library_name: open_clip", ["adapter_config.json"], "open_clip"),
        ("", ["adapter_config.json"], "peft"),
        ("", ["model_index.json"], "diffusers"),
        ("", ["open_clip_config.json"], "open_clip"),
        ("", [], None),
    ],
)
def test_the_library(text, files, library):
    assert cards.library_name(card(text), files) == library


@pytest.mark.parametrize(
    ("text", "config", "library", "task"),
    [
        ("", {"model_type": "bert"}, "transformers", None),
        (
            "",
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            "transformers",
            "fill-mask",
        ),
        (
            "pipeline_tag: feature-extraction",
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            "transformers",
            "feature-extraction",
        ),
        ("library_name: timm", {"architectures": ["XForMaskedLM"]}, "timm", None),
        ("", {"architectures": 5, "model_type": None}, "transformers", None),
        ("", {"architectures": ["BertForMaskedLM"]}, None, None),
    ],
)
def test_what_follows_from_the_configuration(text, config, library, task):
    found = cards.with_inferred(card(text), ["config.json"], config)
    assert (found.get("library_name"), found.get("pipeline_tag")) == (library, task)


def test_values_that_are_no_tags_are_left_out():
    assert tags("tags: [1, [a], b, b, '']\nlicense: {a: b}\nlanguage: 5") == ["b"]


def test_tags_of_a_dataset():
    found = tags(
        "license: mit\nlanguage: [th, lo]\ntask_categories: [x]\ntags: [ggez]", (), "dataset"
    )
    assert found == ["task_categories:x", "language:th", "language:lo", "license:mit", "ggez"]
