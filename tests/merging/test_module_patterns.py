"""Patterns of an adapter_config.json: PEFT's rule, in linear time whatever a stranger writes."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
from peft.utils.other import get_pattern_key

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, merge
from ggez_hub.merging.adapters import module_patterns
from ggez_hub.merging.adapters.module_patterns import by_pattern

from .exactness import WEIGHTS, write_peft
from .test_peft_methods import MLP

EMBEDDING = get_family("embedding")
# Python's engine tries every way to cut a path into pieces: longer than anybody waits.
ENDLESS = r"(?:(?:\w|\.|_)+)+!"
WHERE = Path("adapter_config.json")

PATHS = ["a", "b.a", "layers.1.q", "layers.11.q", "x.layers.1.q", "layersX1.q", "q", "layers.1.q.a"]
PATTERNS = [
    {"q": 1},
    {"layers.1.q": 1, "q": 2},
    {"q": 2, "layers.1.q": 1},
    {r"^layers\.1\.q": 1, r"layers\.1\.q": 2, "a": 3},
    {r"layers\.\d+\.q": 4, r"^layers\.1\.q": 5},
    {r"layers\.1\.(q|a)": 6, "a|b": 7},
    {r".*1.*": 8, "a": 9},
    {"": 1, "^a": 2},
    {"a$": 1, "^q$": 2},
]


@pytest.mark.parametrize("patterns", PATTERNS)
def test_the_rule_is_pefts(patterns):
    for path in PATHS:
        expected = patterns.get(get_pattern_key(patterns, path))
        assert (
            by_pattern({"alpha_pattern": patterns}, "alpha_pattern", path, None, WHERE) == expected
        )


def test_tries_are_limited_and_written_paths_are_not(monkeypatch):
    monkeypatch.setattr(module_patterns, "MOST_TRIES", 100)
    monkeypatch.setattr(module_patterns, "MOST_PATTERNS", 20)
    written = {rf"^layers\.{n}\.q": n for n in range(500)}
    for n in range(500):
        assert by_pattern({"p": written}, "p", f"layers.{n}.q", None, WHERE) == n
    tried = {f"x.{n}": n for n in range(20)}
    for n in range(5):
        by_pattern({"p": tried}, "p", f"layers.{n}.q", None, WHERE)
    with pytest.raises(BadAdapter, match="more than 100"):
        by_pattern({"p": tried}, "p", "layers.5.q", None, WHERE)
    with pytest.raises(BadAdapter, match="more than 20"):
        by_pattern({"p": {f"y.{n}": n for n in range(21)}}, "p", "q", None, WHERE)


CONFIGS = {
    "rank_pattern": peft.LoraConfig(r=4, target_modules=["c_fc"]),
    "alpha_pattern": peft.LoraConfig(r=4, target_modules=["c_fc"]),
    "n_frequency_pattern": peft.FourierFTConfig(n_frequency=50, target_modules=["c_fc"]),
    "block_size_pattern": peft.C3AConfig(block_size=8, target_modules=["c_fc"]),
    "lambda_pattern": peft.DeloraConfig(r=4, target_modules=["c_fc"]),
}


@pytest.mark.parametrize("option", CONFIGS)
def test_a_pattern_of_a_stranger_does_not_stop_a_merge(option, base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", CONFIGS[option])
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "before", EMBEDDING)
    change(adapter, option, {ENDLESS: 3})
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    before = (tmp_path / "before" / WEIGHTS).read_bytes()
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == before


# The value of the first pattern that fits, where PEFT's rule gives another than the default.
CHOSEN = {
    "n_frequency_pattern": (peft.FourierFTConfig, {"n_frequency": 50}, {r"c_f.": 30}),
    "block_size_pattern": (peft.C3AConfig, {"block_size": 8}, {r"resblocks\.0.*": 16}),
    "rank_pattern": (peft.DeloraConfig, {"r": 4}, {r"resblocks\.\d\.mlp\.c_fc": 3}),
    "osf": (peft.OSFConfig, {"effective_rank": 40}, {r"resblocks\.0": 30}),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_patterns_of_other_methods_are_pefts(name, base, tmp_path):
    """An adapter whose pattern changes a size loads only if the pattern reaches PEFT."""
    made, options, patterns = CHOSEN[name]
    option = "rank_pattern" if name == "osf" else name
    config = made(target_modules=["c_fc"], **options, **{option: patterns})
    adapter = write_peft(tmp_path / "adapter", config)
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    change(adapter, option, {})
    with pytest.raises(BadAdapter):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "other", EMBEDDING)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_modules": ENDLESS}, "does not name"),
        ({"exclude_modules": ENDLESS}, None),
        ({"layers_pattern": [ENDLESS], "layers_to_transform": [0]}, "not a name of layers"),
        ({"target_modules": f"(?=x){MLP}"}, "RE2"),
    ],
)
def test_a_pattern_that_names_modules_does_not_stop_a_merge(options, said, base, tmp_path):
    config = peft.OFTConfig(oft_block_size=8, target_modules=["c_fc"])
    adapter = write_peft(tmp_path / "adapter", config)
    for name, value in options.items():
        change(adapter, name, value)
    if said is None:
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
        return
    with pytest.raises(BadAdapter, match=said):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)


def change(adapter, option, value):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {option: value}))
