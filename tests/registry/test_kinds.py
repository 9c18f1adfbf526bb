"""Kinds beside LoRA, pulled over HTTP: full fine-tunes, task vectors, merged models."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging.extraction import extract_task_vector
from ggez_hub.registry.lock import read_lock

from ..diffusion.pipelines import write_pipeline
from ..families.architectures import EMBEDDING, GEMMA3, GEMMA3_HUB, VLM, write_base, write_shards
from ..merging.exactness import assert_exact
from ..worlds import serving
from .declared import BASE, declare, register, upload, weights

REGIONAL = "real/regional"
QWEN3 = next(a for a in VLM if a.config["model_type"] == "qwen3_vl")
SIGLIP2 = next(a for a in EMBEDDING if a.config["model_type"] == "siglip2")


def state_of(family, folder):
    """Every tensor of a model folder, by file path and name where names are the component's own."""
    found = {}
    for path in get_family(family).layout(folder).weights:
        prefix = path.rpartition("/")[0]
        for name, tensor in load_file(folder / path).items():
            found[f"{prefix}/{name}" if prefix else name] = tensor
    return found


def moved(state, share=0.5):
    """The tensors after training: of some, every value moved."""
    torch.manual_seed(7)
    names = [name for name, tensor in state.items() if tensor.is_floating_point()]
    trained = set(names[:: int(1 / share)])
    return {
        name: tensor.float() + 0.05 * torch.randn(tensor.shape) if name in trained else tensor
        for name, tensor in state.items()
    }, trained


def tune(folder, base, weights, dtype):
    """A copy of a model folder in which the weight files were trained, saved in `dtype`."""
    shutil.copytree(base, folder)
    changed = set()
    for path in weights:
        prefix = path.rpartition("/")[0]
        state, trained = moved(load_file(base / path))
        save_file(
            {k: v.to(dtype) if k in trained else v for k, v in state.items()},
            folder / path, metadata={"format": "pt"},
        )  # fmt: skip
        changed |= {f"{prefix}/{name}" if prefix else name for name in trained}
    return changed


def pull(endpoint, *arguments):
    return CliRunner().invoke(
        cli, ["pull", "--hub", endpoint, "--region", "th", *map(str, arguments)]
    )


def publish(store, family, kind, base, folder, paths, **changes):
    upload(store, BASE, base)
    revision = upload(store, REGIONAL, folder)
    document = declare(
        family, kind, base, folder, revision=revision, paths=paths, repo=REGIONAL, **changes
    )
    register(store, document)


def qwen3(folder):
    folder.mkdir()
    return write_base(folder, QWEN3, torch.bfloat16, shards=2), "vlm"


def siglip2(folder):
    folder.mkdir()
    return write_base(folder, SIGLIP2, torch.float32), "embedding"


def gemma3(folder):
    folder.mkdir()
    return write_base(folder, GEMMA3_HUB, torch.bfloat16, shards=2), "vlm"


def gemma3_saved(folder):
    folder.mkdir()
    return write_base(folder, GEMMA3, torch.bfloat16), "vlm"


def sdxl(folder):
    return write_pipeline("sdxl", folder), "diffusion"


@pytest.mark.parametrize("build", [qwen3, siglip2, gemma3, gemma3_saved, sdxl])
def test_a_finetune_is_merged_with_its_base(build, store, tmp_path):
    base, family = build(tmp_path / "base")
    paths = get_family(family).layout(base).weights
    if family == "diffusion":
        # As trainers of a UNet leave a pipeline: nothing else is changed.
        trained_files = [path for path in paths if path.startswith("unet/")]
    else:
        trained_files = paths
    changed = tune(tmp_path / "tuned", base, trained_files, torch.float32)
    publish(store, family, "finetune", base, tmp_path / "tuned", paths)
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", "--beta", "0.4", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["adapters"][0]["kind"] == "finetune"
    out = tmp_path / "out" / family
    before, after = state_of(family, base), state_of(family, out)
    regional = {k: v.double() for k, v in state_of(family, tmp_path / "tuned").items()}
    assert assert_exact(before, after, regional, 0.4) == changed
    assert weights(family, out).keys() == weights(family, base).keys()


@pytest.mark.parametrize(("of", "tuned_as"), [(GEMMA3_HUB, GEMMA3), (GEMMA3, GEMMA3_HUB)])
def test_a_finetune_saved_by_another_version_of_its_library(of, tuned_as, store, tmp_path):
    """Gemma-3 on the Hub has the names of transformers 4; trainers save those of their version."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    for folder, architecture in ((base, of), (tuned, tuned_as)):
        folder.mkdir()
        write_base(folder, architecture, torch.bfloat16)
    state, trained = moved(load_file(tuned / "model.safetensors"))
    state = {k: v.to(torch.bfloat16).contiguous() for k, v in state.items()}
    # Some trainers store the tied head too.
    head = "lm_head.weight" if tuned_as is GEMMA3 else "language_model.lm_head.weight"
    embedding = next(name for name in state if name.endswith("embed_tokens.weight"))
    save_file(state | {head: state[embedding].clone()}, tuned / "model.safetensors")
    publish(store, "vlm", "finetune", base, tuned, ["model.safetensors"])
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", "--beta", "1")
    assert result.exit_code == 0, result.output
    out = load_file(tmp_path / "out" / "vlm" / "model.safetensors")
    before = load_file(base / "model.safetensors")
    assert out.keys() == before.keys()
    by_tail = {}
    for name, tensor in state.items():
        by_tail.setdefault(tail(name), tensor)
    assert len(by_tail) == len(state)
    for name, tensor in out.items():
        assert torch.equal(tensor, by_tail[tail(name)]), name
    assert sum(not torch.equal(out[n], before[n]) for n in out) == len(trained)


def tail(name):
    """What the two layouts of Gemma-3 have in common."""
    wrappers = {"model", "language_model", "vision_tower", "vision_model"}
    return ".".join(part for part in name.split(".") if part not in wrappers)


def test_a_tied_head_that_was_trained_apart_is_refused(store, tmp_path):
    base, _ = gemma3(tmp_path / "base")
    changed = tune(tmp_path / "tuned", base, get_family("vlm").layout(base).weights, torch.bfloat16)
    assert changed
    (first, *_) = get_family("vlm").layout(base).weights
    state = load_file(tmp_path / "tuned" / first)
    state["language_model.lm_head.weight"] = torch.ones(64, 32, dtype=torch.bfloat16)
    shards = [*get_family("vlm").layout(base).weights]
    whole = {k: v for path in shards[1:] for k, v in load_file(tmp_path / "tuned" / path).items()}
    for path in shards:
        (tmp_path / "tuned" / path).unlink()
    (tmp_path / "tuned" / "model.safetensors.index.json").unlink()
    write_shards(tmp_path / "tuned", state | whole, 1)
    publish(store, "vlm", "finetune", base, tmp_path / "tuned", ["model.safetensors"])
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", "--beta", "0.4")
    assert result.exit_code == 1
    assert "with different values, which are one tensor of the base" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_task_vector(store, tmp_path):
    base, family = siglip2(tmp_path / "base")
    tune(tmp_path / "tuned", base, ["model.safetensors"], torch.float32)
    extract_task_vector(base, tmp_path / "tuned", tmp_path / "vector", get_family(family))
    paths = ["task_vector.json", "task_vector.safetensors"]
    publish(store, family, "task_vector", base, tmp_path / "vector", paths)
    with serving(store) as endpoint:
        assert pull(endpoint, "-o", tmp_path / "out", "--beta", "0.5").exit_code == 0
        refused = pull(endpoint, "-o", tmp_path / "x", "--beta", "0.5", "--as", "peft")
    assert refused.exit_code == 1
    assert "is a task vector, which comes merged only" in refused.stderr
    regional = {k: v.double() for k, v in state_of(family, tmp_path / "tuned").items()}
    assert_exact(state_of(family, base), state_of(family, tmp_path / "out" / family), regional, 0.5)


@pytest.fixture
def merged(store, tmp_path):
    """A hub with a merged model whose base is not there; its folder."""
    base, family = qwen3(tmp_path / "base")
    paths = get_family(family).layout(base).weights
    tune(tmp_path / "model", base, paths, torch.bfloat16)
    revision = upload(store, REGIONAL, tmp_path / "model")
    document = declare(
        family, "merged", base, tmp_path / "model", revision=revision, paths=paths, repo=REGIONAL
    )
    register(store, document)
    return tmp_path / "model"


def test_a_merged_model_is_taken_as_it_is(merged, store, tmp_path):
    out = tmp_path / "out"
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", out, "--json")
        again = pull(endpoint, "-o", out, "--json")
        kept = pull(endpoint, "-o", tmp_path / "kept", "--locked", "--lock", out / "ggez.lock")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["base"] is None
    assert document["adapters"][0]["beta"] is None
    assert document["method"] == "as_is"
    for path in merged.rglob("*"):
        if path.is_file() and path.name != "README.md":
            copy = out / "vlm" / path.relative_to(merged)
            assert copy.read_bytes() == path.read_bytes()
    lock = read_lock(out / "ggez.lock")
    assert lock.resolution.base is None
    assert json.loads(again.stdout)["reused"] is True
    assert kept.exit_code == 0, kept.output
    assert (tmp_path / "kept" / "ggez.lock").read_bytes() == (out / "ggez.lock").read_bytes()
    card = (out / "vlm" / "README.md").read_text()
    assert "a merged model, as it is" in card


def test_people_are_told_that_nothing_is_merged(merged, store, tmp_path):
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", "--explain")
        costs = json.loads(pull(endpoint, "-o", tmp_path / "x", "--dry-run", "--json").stdout)
    assert result.exit_code == 0, result.output
    assert "beta     none: a merged model is taken as it is" in result.stdout
    assert costs["ram_bytes"] == 0
    assert costs["vram_bytes"] == sum(
        (merged / p).stat().st_size for p in get_family("vlm").layout(merged).weights
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--as", "peft"), "is a merged model, taken as it is: its adapter cannot be separated"),
        (("--beta", "0.5"), "taken as it is: --beta cannot be chosen"),
        (("--base", "real/base"), "taken as it is: --base cannot be chosen"),
        (("--method", "ties"), "taken as it is: --method cannot be chosen"),
    ],
)
def test_what_a_merged_model_cannot_be_asked_for(merged, store, tmp_path, arguments, reason):
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 1
    assert reason in result.stderr


def test_a_merged_model_with_code_is_refused(merged, store, tmp_path):
    config = json.loads((merged / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_x.X"}
    (merged / "config.json").write_text(json.dumps(config))
    revision = upload(store, REGIONAL, merged)
    paths = get_family("vlm").layout(tmp_path / "base").weights
    register(
        store,
        declare("vlm", "merged", tmp_path / "base", merged, revision=revision, paths=paths),
    )
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "auto_map names code" in result.stderr
    assert not (tmp_path / "out").exists()
