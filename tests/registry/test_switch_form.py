"""`pull --as switch`: the base, the adapter beside it, and the router between them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings

import peft
import pytest
import torch
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.regions.text_language import identify, lone_script_letters, lone_scripts

from ..families.architectures import EMBEDDING, LLAVA_HUB, write_base
from ..families.architectures import write_adapter as write_lora
from ..merging.exactness import write_peft
from ..worlds import serving
from .declared import declare, register, upload

ENGLISH, THAI = "What is shown in this picture?", "ในภาพนี้มีอะไร"
BASE = "real/base"
CLIP = next(a for a in EMBEDDING if a.config["model_type"] == "clip")


@pytest.fixture
def store(tmp_path):
    with HubStore.open(tmp_path / "store") as store:
        yield store


def publish(store, family, base, adapter, **changes):
    upload(store, BASE, base)
    paths = [p.name for p in adapter.iterdir() if p.suffix in {".json", ".safetensors"}]
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_mapping": None}))
    revision = upload(store, "real/regional", adapter)
    register(
        store, declare(family, "lora", base, adapter, revision=revision, paths=paths, **changes)
    )


def pull(endpoint, out, *more):
    arguments = ["pull", "--hub", endpoint, "--region", "th", "--as", "switch", "-o", out, *more]
    return CliRunner().invoke(cli, [*map(str, arguments)])


def router_of(folder):
    spec = importlib.util.spec_from_file_location(f"router_{id(folder)}", folder / "router.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def switch(store, tmp_path):
    """A tiny vision-language model with a Thai adapter, pulled as a switch."""
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", LLAVA_HUB, torch.float32)
    adapter = write_lora(tmp_path / "adapter", LLAVA_HUB.build(), ["q_proj", "down_proj"])
    publish(store, "vlm", base, adapter, adapts=["prompt_language"])
    with serving(store) as endpoint:
        result = pull(endpoint, tmp_path / "out")
        assert result.exit_code == 0, result.output
    return base, adapter, tmp_path / "out", result


def opened(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LLAVA_HUB.model_class.from_pretrained(folder, dtype=torch.float32).eval()


def test_english_goes_to_the_base_and_thai_to_the_adapter_bit_for_bit(switch):
    base, adapter, out, _ = switch
    folder = out / "vlm"
    router = router_of(folder)
    tokens = torch.arange(1, 9)[None]
    plain = opened(base)
    adapted = peft.PeftModel.from_pretrained(opened(base), adapter).eval()
    model = peft.PeftModel.from_pretrained(opened(folder / "base"), folder / "adapter").eval()
    with torch.inference_mode():
        wanted = plain(input_ids=tokens).logits
        regional = adapted(input_ids=tokens).logits
        assert not torch.equal(wanted, regional)
        with router.routed(model, ENGLISH):
            assert torch.equal(model(input_ids=tokens).logits, wanted)
        with router.routed(model, THAI):
            assert torch.equal(model(input_ids=tokens).logits, regional)
        # What was off is on again.
        assert torch.equal(model(input_ids=tokens).logits, regional)


def test_the_base_is_copied_as_it_is_and_the_lock_pins_all_of_it(switch):
    base, adapter, out, _ = switch
    folder = out / "vlm"
    for path in base.rglob("*.safetensors"):
        assert (folder / "base" / path.relative_to(base)).read_bytes() == path.read_bytes()
    weights = "adapter_model.safetensors"
    assert (folder / "adapter" / weights).read_bytes() == (adapter / weights).read_bytes()
    before, after = (
        json.loads((place / "adapter_config.json").read_text())
        for place in (adapter, folder / "adapter")
    )
    assert after["lora_alpha"] == before["lora_alpha"]
    lock = json.loads((out / "ggez.lock").read_text())
    assert lock["resolution"]["languages"] == ["th"]
    assert {"vlm/router.py", "vlm/router.json", "vlm/README.md"} <= lock["outputs"].keys()
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert verified.exit_code == 0, verified.output
    (folder / "router.py").write_text("print('another')\n")
    assert CliRunner().invoke(cli, ["verify", str(out)]).exit_code == 1
    assert "vllm serve" in (folder / "README.md").read_text()
    assert "routed(model, prompt)" in (folder / "README.md").read_text()


def test_a_locked_pull_is_the_same(switch, store, tmp_path):
    _, _, out, _ = switch
    with serving(store) as endpoint:
        arguments = ["pull", "--hub", endpoint, "--region", "th", "--locked", "--lock",
                     str(out / "ggez.lock"), "-o", str(tmp_path / "again")]  # fmt: skip
        result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    for path in sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file()):
        assert (tmp_path / "again" / path).read_bytes() == (out / path).read_bytes()


def test_the_router_needs_nothing_of_this_package(switch):
    """As it is used: on another machine, in a process that has py3langid alone."""
    _, _, out, _ = switch
    code = (
        "import sys; sys.modules['ggez_hub'] = None; sys.modules['torch'] = None\n"
        "from router import served_model\n"
        f"print(served_model({ENGLISH!r}, 'base'), served_model({THAI!r}, 'base'))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=out / "vlm", capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["base", "region"]


def test_the_router_identifies_as_the_measurement_does(switch, package_names):
    """On every name of the demo, in nine languages, alone and in mixed texts."""
    _, _, out, _ = switch
    router = router_of(out / "vlm")
    texts = [text for names in package_names.values() for text in names]
    mixed = [f"{a} {b}" for a, b in zip(texts[::7], reversed(texts[::7]), strict=True)]
    for text in [*texts, *mixed, "", "12:30 !?", "iPhone 15 ราคาเท่าไร", "A" * 2000 + "ก"]:
        assert router.language(text) == identify(text)[0], text


@pytest.fixture(scope="module")
def package_names():
    from demo_world.__main__ import ASSETS

    path = ASSETS / "emoji-names" / "data" / "test.parquet"
    names = {}
    for column in ("en", "th", "vi", "ind", "ms", "fil", "my", "km", "lo"):
        rows = read_rows(path, {column: "text or null"})
        names[column] = [row[column] for row in rows if row[column] is not None]
    return names


def test_the_table_of_scripts_is_that_of_unicode_and_cldr():
    import re

    from fontTools.unicodedata import script

    table = {tag: re.compile(f"[{letters}]") for tag, letters in lone_script_letters().items()}
    alone = {name: tag for name, tag in lone_scripts().items() if tag in table}
    assert {tag for name, tag in lone_scripts().items()} - table.keys() == {"ja", "ko", "yue"}
    for number in range(0x20000):
        character = chr(number)
        found = [tag for tag, letters in table.items() if letters.match(character)]
        wanted = alone.get(script(character))
        assert found == ([wanted] if wanted else []), hex(number)


def measured(low, high, *, cue=True, measured_by="registry"):
    value = (low + high) / 2
    figure = {"value": 50.0, "low": 48.0, "high": 52.0}
    return {
        "split": "test",
        "scale": "choice_4",
        "beta": "0.5",
        "measured_by": measured_by,
        "switch": {
            "languages": ["th"],
            "cue": cue,
            "reason": "" if cue else "items of the region are asked in en, as those outside it are",
            "prompts": 1200,
            "misrouted": 7,
            "grp": figure,
            "over_merge": {"value": value, "low": low, "high": high},
        },
    }


@pytest.mark.parametrize(
    ("beside", "ahead", "said"),
    [
        (None, None, "unmeasured"),
        (measured(1.0, 3.0), True, "ahead of the merge at beta 0.5 by +2.00 [+1.00, +3.00]"),
        (measured(-1.0, 3.0), False, "not shown to be ahead of the merge"),
        (measured(-3.0, -1.0), False, "behind the merge"),
        (measured(1.0, 3.0, cue=False), None, "not recommended: it has no cue"),
        (measured(1.0, 3.0, measured_by="self"), True, "as its author claims"),
    ],
)
def test_it_says_whether_the_measured_switch_is_ahead(store, tmp_path, beside, ahead, said):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    adapter = write_lora(tmp_path / "adapter", CLIP.build(), ["q_proj"])
    publish(store, "embedding", base, adapter, **({"baselines": beside} if beside else {}))
    with serving(store) as endpoint:
        switched = pull(endpoint, tmp_path / "out")
        arguments = ["pull", "--hub", endpoint, "--region", "th", "--beta", "0.5", "--as", "peft"]
        other = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "peft")])
        told = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "json"), "--json"])
    assert switched.exit_code == other.exit_code == told.exit_code == 0, switched.output
    assert said in switched.output
    assert said in (tmp_path / "out" / "embedding" / "README.md").read_text()
    # A merge names the form where it is ahead, and there alone.
    assert ("--as switch" in other.output) == (ahead is True)
    assert json.loads(told.stdout)["switch"]["ahead"] is ahead


def test_what_it_costs_is_base_and_adapter(store, tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["visual_projection"])
    adapter = write_peft(tmp_path / "adapter", config, model=CLIP.build())
    publish(store, "embedding", base, adapter)
    with serving(store) as endpoint:
        result = pull(endpoint, tmp_path / "x", "--dry-run", "--json")
        assert result.exit_code == 0, result.output
        costs = json.loads(result.stdout)
        size = (base / "model.safetensors").stat().st_size
        own = (adapter / "adapter_model.safetensors").stat().st_size
        assert costs["disk_bytes"] - costs["fetch_bytes"] >= size + own
        done = pull(endpoint, tmp_path / "out", "--json")
        assert done.exit_code == 0, done.output
    folder = tmp_path / "out" / "embedding"
    assert (folder / "base" / "model.safetensors").read_bytes() == (
        base / "model.safetensors"
    ).read_bytes()


def test_only_one_lora_is_switched(store, tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    adapter = write_lora(tmp_path / "adapter", CLIP.build(), ["q_proj"])
    publish(store, "embedding", base, adapter)
    with serving(store) as endpoint:
        result = pull(endpoint, tmp_path / "out", "--adapter", "real/regional", "--adapter",
                      "real/regional", "--allow-overlap")  # fmt: skip
    assert result.exit_code != 0
    assert not (tmp_path / "out").exists()
