"""Cards of strangers: secrets, markup, lookalike letters; each refused with line, key and fix."""

from __future__ import annotations

import pytest

from ggez_hub.cards import BadCard, parse_card

from .blocks import FRONT, block, text

# Made up, in pieces: a scanner of this repository should not find them either.
TOKENS = {
    "a Hugging Face token": "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a key of a model provider": "sk-" + "proj-" + "a1B2c3D4" * 4,
    "an AWS key": "AKIA" + "ABCDEFGH12345678",
    "a private key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "an address with a password": "https://" + "user:pa55word@example.org/x",
}


@pytest.mark.parametrize("kind", TOKENS)
def test_a_secret_is_refused_and_not_repeated(kind):
    secret = TOKENS[kind]
    ggez = block() | {"training": {"method": f"LoRA, with {secret}", "hyper_parameters": "unknown",
                                   "seed": "unknown", "versions": "unknown"}}  # fmt: skip
    content = text(ggez)
    line = next(n for n, row in enumerate(content.splitlines(), 1) if secret[:12] in row)
    with pytest.raises(BadCard, match=f"line {line}: ggez.training.method: .*{kind}") as caught:
        parse_card(content)
    assert secret not in caught.value.message + caught.value.hint
    assert "revoke" in caught.value.hint


def test_a_secret_in_the_prose_and_in_broken_yaml():
    token = TOKENS["a Hugging Face token"]
    with pytest.raises(BadCard, match="the prose: holds what looks like a Hugging Face token"):
        parse_card(text(block(), prose=f"Use it with `token={token}`.\n"))
    with pytest.raises(BadCard, match="line 2: license: ") as caught:
        parse_card(f"---\nlicense: [{token}\n---\n")
    assert token not in caught.value.message


def test_digests_and_commits_are_no_secrets():
    assert parse_card(text(block(), prose=f"sha256 {'0a' * 32}, commit {'b' * 40}, hf_hub_id\n"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"summary": {"en": "<script>alert(1)</script>"}}, "ggez.summary.en"),
        ({"summary": {"en": "<img src=x onerror=alert(1)>"}}, "ggez.summary.en"),
        ({"summary": {"en": "{{ config.items() }}"}}, "ggez.summary.en"),
        ({"summary": {"en": "{% include '/etc/passwd' %}"}}, "ggez.summary.en"),
        ({"summary": {"en": "[x](javascript:alert(1))"}}, "ggez.summary.en"),
        ({"summary": {"en": "safe \u202egnp.exe"}}, "ggez.summary.en"),
        ({"summary": {"en": "a\x07b"}}, "ggez.summary.en"),
        ({"status": {"state": "yanked", "reason": "<b>x</b>"}}, "ggez.status.reason"),
        ({"files": {"<b>.safetensors": {"size": 3, "sha256": "c" * 64}}}, "ggez.files"),
        ({"curve": {"0": {"<i>": {}}}}, "ggez.curve"),
        ({"published_by": "some<b>"}, "ggez.published_by"),
    ],
)
def test_markup_and_invisible_characters_are_refused(change, key):
    content = text(block() | change)
    with pytest.raises(BadCard, match=rf"line \d+: {key}.*: ") as caught:
        parse_card(content, "README.md")
    assert "<script>" not in caught.value.message


@pytest.mark.parametrize(
    "summary", ["a < b and 3 <4", "Trained on {a} and 100 % of it", "ភាសា\u200bខ្មែរ", "👩‍🍳"]
)
def test_plain_words_of_any_language_are_kept(summary):
    assert parse_card(text(block() | {"summary": {"en": summary}})).card.summary["en"] == summary


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"base": block()["base"] | {"repo": "stabilitу/sdxl"}}, "ggez.base.repo"),
        ({"adapter": {"repo": "ｏrg/x", "revision": "a" * 40}}, "ggez.adapter.repo"),
        ({"registered_by": "аna"}, "ggez.registered_by"),
        ({"status": {"state": "deprecated", "superseded_by": "org/bаse"}}, "ggez.status.superseded_by"),
    ],
)  # fmt: skip
def test_lookalike_letters_in_names_are_refused(change, key):
    with pytest.raises(BadCard, match=rf"line \d+: {key}: holds U\+[0-9A-F]+ \(.*LETTER"):
        parse_card(text(block() | change))


@pytest.mark.parametrize(
    ("front", "named"),
    [
        ({"base_model": "оrg/base"}, r"line 2: base_model: holds U\+043E"),
        ({"base_model": "org/other"}, "line 2: base_model: is 'org/other', but ggez.base.repo is"),
        ({"license_name": "<a href=x>"}, "license_name: holds HTML"),
        ({"tags": ["ggez", "{{7*7}}"]}, "tags: holds template code"),
    ],
)
def test_the_hubs_keys_are_checked_too(front, named):
    with pytest.raises(BadCard, match=named):
        parse_card(text(block(), FRONT | front))
