"""Betas by part: a file of patterns becomes one beta for each tensor, in linear time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ggez_hub.errors import UsageProblem
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.recipe_file import BadRecipe, parse_recipe

NAMES = (
    "logit_scale",
    "token_embedding.weight",
    *(f"transformer.resblocks.{n}.mlp.weight" for n in range(12)),
    *(f"visual.transformer.resblocks.{n}.mlp.weight" for n in range(3)),
    "visual.proj",
)


def parts(*each):
    return BetasByPart.model_validate({"parts": each})


def at(beta, *each, names=NAMES):
    return parts(*each).on(names).at(beta)


def test_the_first_match_wins_and_what_no_pattern_finds_is_left_out():
    found = at(
        0.6,
        {"tensors": r"^visual\.transformer", "beta": 0.3},
        {"tensors": r"^visual\.", "times": 0.5},
        {"tensors": "embedding", "beta": 0},
    )
    assert found == {
        **{f"visual.transformer.resblocks.{n}.mlp.weight": 0.3 for n in range(3)},
        "visual.proj": 0.3,
        "token_embedding.weight": 0.0,
    }


def test_parts_of_a_recipe_are_relative_if_the_base_is_among_them():
    assert parts({"tensors": "a", "times": 2}, {"tensors": "b", "beta": 0}).is_relative
    assert not parts({"tensors": "a", "times": 2}, {"tensors": "b", "beta": 0.1}).is_relative


class TestTilt:
    def test_rises_linearly_with_depth_in_each_stack_by_itself(self):
        found = at(0.5, {"tensors": r"resblocks\.(\d+)\.", "tilt": 0.4})
        assert found.keys() == {name for name in NAMES if "resblocks" in name}
        for stack, last in (("transformer", 11), ("visual.transformer", 2)):
            for block in range(last + 1):
                expected = 0.5 * (1 + 0.4 * (2 * block / last - 1))
                name = f"{stack}.resblocks.{block}.mlp.weight"
                assert found[name] == pytest.approx(expected, rel=1e-15), name

    def test_is_that_of_lines(self):
        # arXiv 2410.17146: lambda of layer l (from 1) of L is a + b (l - 1) / (L - 1).
        a, b, layers = 0.2, 0.6, 12
        beta, tilt = a + b / 2, b / (2 * a + b)
        found = at(beta, {"tensors": r"^transformer\.resblocks\.(\d+)\.", "tilt": tilt})
        for layer in range(1, layers + 1):
            ours = found[f"transformer.resblocks.{layer - 1}.mlp.weight"]
            assert ours == pytest.approx(a + b * (layer - 1) / (layers - 1), rel=1e-14)

    def test_is_of_the_parts_own_value(self):
        found = at(9, {"tensors": r"^transformer\.resblocks\.(\d+)\.", "beta": 0.5, "tilt": 1})
        assert found["transformer.resblocks.0.mlp.weight"] == 0.0
        assert found["transformer.resblocks.11.mlp.weight"] == 1.0

    def test_of_blocks_beyond_a_depth_begins_there(self):
        found = at(1, {"tensors": r"^transformer\.resblocks\.([6-9]|1\d)\.", "tilt": -1})
        assert found["transformer.resblocks.6.mlp.weight"] == 2.0
        assert found["transformer.resblocks.11.mlp.weight"] == 0.0

    def test_of_one_block_is_the_parts_value(self):
        assert at(0.7, {"tensors": r"blocks\.(\d)", "tilt": 1}, names=["blocks.4.weight"]) == {
            "blocks.4.weight": 0.7
        }


class TestFits:
    def test_a_pattern_that_matches_nothing_is_an_error_that_shows_names(self):
        with pytest.raises(UsageProblem, match=r"parts\.1\.tensors: 'vision' finds none") as caught:
            at(1, {"tensors": "visual", "beta": 0}, {"tensors": "vision", "beta": 0})
        assert "logit_scale" in caught.value.hint

    def test_a_part_that_earlier_ones_leave_nothing_is_an_error(self):
        with pytest.raises(UsageProblem, match=r"parts\.1.*earlier parts take all 4 tensors"):
            at(1, {"tensors": "visual|logit", "beta": 0}, {"tensors": "^visual", "beta": 1})

    def test_a_group_that_is_not_a_number(self):
        with pytest.raises(UsageProblem, match=r"finds 'mlp' in 'transformer.*not the number"):
            at(1, {"tensors": r"resblocks\.\d+\.(\w+)", "tilt": 0.1})

    def test_a_name_that_is_not_text(self):
        with pytest.raises(UsageProblem, match="is not text"):
            at(1, {"tensors": "a", "beta": 0}, names=["a", "\ud800"])


WRONG = {
    "an expression that backtracks": ("{tensors: '(?=a)b', beta: 1}", "parts.0.*RE2.*look-around"),
    "a reference back": (r"{tensors: '(a)\1', beta: 1}", "parts.0.*back-references"),
    "a bracket left open": ("{tensors: 'a(', beta: 1}", r"parts.0.*missing \)"),
    "too much to compile": ("{tensors: '((a{99}){99}){99}', beta: 1}", "parts.0.*repetition"),
    "no tensors": ("{beta: 1}", "parts.0.tensors: is missing"),
    "nothing said": ("{tensors: a}", "parts.0: give `beta`, `times` or `tilt`"),
    "two values": ("{tensors: a, beta: 1, times: 1}", "parts.0: `beta` and `times`"),
    "less than the base": ("{tensors: a, beta: -0.5}", "parts.0.beta: .*greater than or equal"),
    "not a number": ("{tensors: a, times: .nan}", "parts.0.times: .*finite"),
    "text": ("{tensors: a, times: '1'}", "parts.0.times: .*number"),
    "tilted over": (r"{tensors: 'a(\d)', tilt: 1.5}", "parts.0.tilt: .*less than or equal to 1"),
    "tilt without a group": (r"{tensors: 'a\d', tilt: 1}", "parts.0: `tilt` needs .* one group"),
    "an unknown key": ("{tensors: a, beta: 1, pattern: b}", "parts.0.pattern"),
    "an endless pattern": (f"{{tensors: {'a' * 1001}, beta: 1}}", "parts.0.tensors: .*1000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_mistake_in_a_file_is_named_by_its_key_and_line(case):
    text, expected = WRONG[case]
    with pytest.raises(BadRecipe, match=f"line 3: {expected}"):
        parse_recipe(f"kind: betas\nparts:\n  - {text}\n", "betas.yaml", "betas", BetasByPart)


@pytest.mark.parametrize("text", ["kind: betas\n", "kind: betas\nparts: []\n", "kind: merge\n"])
def test_a_file_without_parts_is_not_one(text):
    with pytest.raises(BadRecipe):
        parse_recipe(text, "betas.yaml", "betas", BetasByPart)


# What backtracks for longer than anyone waits in Python's `re`, on names of 40 letters.
CATASTROPHIC = [r"(a+)+$", r"(a|aa)+$", r"^(a|a?)+$", r"(.*a){20}$", r"^(\w+\.?)*!$"]


@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_time_is_linear_in_the_names_whatever_the_pattern(pattern):
    # In a process of its own: a match that backtracks could not be interrupted.
    code = (
        "import json, sys\n"
        "from ggez_hub.merging.betas_by_part import BetasByPart\n"
        "pattern = json.loads(sys.argv[1])\n"
        "names = ['a' * 60_000 + 'b!?', *('a' * 200 + f'{n}?' for n in range(2_000)), 'x' + 'a' * 30 + '!']\n"
        "parts = [{'tensors': pattern, 'beta': 0}, {'tensors': '.', 'beta': 1}]\n"
        "try:\n"
        "    BetasByPart.model_validate({'parts': parts}).on(names)\n"
        "except Exception as error:\n"
        "    assert 'finds none' in str(error), error\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(pattern)],
        capture_output=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
