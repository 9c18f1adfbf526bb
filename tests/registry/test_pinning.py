"""Cards that record no bytes are pinned from the hub's list; a base may fit by shape only."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.hub.sparse_copy import shapes_digest, tensors
from ggez_hub.regions import find_region
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.search import known_entries
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.pins import chosen_beta
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..diffusion.pipelines import write_pipeline
from ..dishonest_hub import dishonest
from ..faults import wire
from ..worlds import serving
from .declared import BASE, declare, register, upload, weights
from .test_kinds import REGIONAL, gemma3, publish, pull, qwen3, sdxl, siglip2, tune

NOT_PINNED = {
    "files": "unknown",
    "base": {"repo": BASE, "revision": "main", "weights": "unknown"},
}
OTHER = "real/other-base"


def unpinned(store, family, kind, base, folder):
    upload(store, BASE, base)
    upload(store, REGIONAL, folder)
    register(
        store,
        declare(family, kind, base, folder, revision="main", repo=REGIONAL, paths=[], **NOT_PINNED),
    )


@pytest.mark.parametrize("build", [qwen3, siglip2, gemma3, sdxl])
def test_an_unpinned_finetune_is_pinned_when_it_is_resolved(build, store, tmp_path):
    base, family = build(tmp_path / "base")
    paths = get_family(family).layout(base).weights
    tune(tmp_path / "tuned", base, paths[:1], torch.float32)
    unpinned(store, family, "finetune", base, tmp_path / "tuned")
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out", "--beta", "0.5")
    assert result.exit_code == 0, result.output
    lock = read_lock(tmp_path / "out" / "ggez.lock").resolution
    assert lock.base.weights == weights(family, base)
    assert lock.adapters[0].source.weights == weights(family, tmp_path / "tuned")
    assert lock.adapters[0].source.revision == store.head("model", REGIONAL)


def test_of_several_variants_the_plain_one_is_meant(store, tmp_path):
    """SDXL's repository holds its weights in float32, and again as the variant fp16."""
    base = write_pipeline("sdxl", tmp_path / "base")
    plain = get_family("diffusion").layout(base).weights
    write_pipeline("sdxl", tmp_path / "variant", variant="fp16")
    for path in (tmp_path / "variant").rglob("*.safetensors"):
        path.rename(base / path.relative_to(tmp_path / "variant"))
    (base / "unet" / "diffusion_pytorch_model.safetensors.index.fp16.json").write_text(
        json.dumps({"weight_map": {"x": "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"}})
    )
    save_file({"x": torch.ones(1)}, base / "sd_xl_base_1.0.safetensors")
    unpinned(store, "diffusion", "merged", base, base)
    with serving(store) as endpoint:
        result = pull(endpoint, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lock = read_lock(tmp_path / "out" / "ggez.lock").resolution
    assert set(lock.adapters[0].source.weights) == set(plain)
    assert not list((tmp_path / "out").rglob("*fp16*"))


def test_what_cannot_be_pinned_says_why(store, tmp_path):
    base, family = siglip2(tmp_path / "base")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    unpinned(store, family, "finetune", base, tmp_path / "empty")
    with serving(store) as endpoint, pytest.raises(NoAdapter, match="it holds no model"):
        resolve(Request("th", beta=0.5), Hub(endpoint))


@pytest.fixture
def two_bases(store, tmp_path):
    """A fine-tune of one base, and another base of the same shape."""
    base, family = siglip2(tmp_path / "base")
    tune(tmp_path / "tuned", base, ["model.safetensors"], torch.float32)
    publish(store, family, "finetune", base, tmp_path / "tuned", ["model.safetensors"])
    tune(tmp_path / "other", base, ["model.safetensors"], torch.float32)
    state = load_file(tmp_path / "other" / "model.safetensors")
    save_file({k: v * 1.5 for k, v in state.items()}, tmp_path / "other" / "model.safetensors")
    upload(store, OTHER, tmp_path / "other")
    return tmp_path / "other"


def test_a_base_of_the_same_shape_needs_the_flag(two_bases, store, tmp_path):
    asked = ("--base", OTHER, "--beta", "0.5")
    with serving(store) as endpoint:
        refused = pull(endpoint, *asked, "-o", tmp_path / "out")
        taken = pull(endpoint, *asked, "-o", tmp_path / "out", "--allow-shape-match")
    assert refused.exit_code == 1
    assert "fits other weights" in refused.stderr
    assert "--allow-shape-match" in refused.stderr
    assert taken.exit_code == 0, taken.output
    assert "fits by shape only" in taken.stdout
    lock = read_lock(tmp_path / "out" / "ggez.lock").resolution
    assert lock.fits_by == "shape"
    assert lock.base.weights == weights("embedding", two_bases)
    card = (tmp_path / "out" / "embedding" / "README.md").read_text()
    assert "fits by shape only" in card


def test_recorded_shapes_need_no_base_to_compare_with(two_bases, store):
    """The card's own base is gone; its shapes are on the card."""
    folder, file = two_bases.parent, ["model.safetensors"]
    with serving(store) as endpoint:
        hub = Hub(endpoint)
        shapes = shapes_digest(tensors(hub, hub.at_commit(BASE, "main"), file))
        own = weights("embedding", folder / "base")
        named = {"repo": BASE, "revision": store.head("model", BASE), "weights": own}
        where = {"revision": store.head("model", REGIONAL), "repo": REGIONAL, "paths": file}
        store.delete_repo(store.repo("model", BASE))
        request = Request("th", base=OTHER, beta=0.5, allow_shape_match=True)
        for known, fits in ((shapes, True), ("unknown", False)):
            document = declare("embedding", "finetune", folder / "base", folder / "tuned", **where,
                               base=named | {"shapes": known})  # fmt: skip
            register(store, document)
            if fits:
                assert resolve(request, hub).resolution.fits_by == "shape"
            else:
                with pytest.raises(NoAdapter, match="gone or private"):
                    resolve(request, hub)


def test_the_flag_changes_nothing_where_the_weights_fit(two_bases, store):
    with serving(store) as endpoint:
        found = resolve(Request("th", beta=0.5, allow_shape_match=True), Hub(endpoint))
    assert found.resolution.fits_by == "weights"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.update({"logit_scale": torch.ones(2)}), r"logit_scale is \('F32', \(2,\)\)"),
        (lambda s: s.update({"logit_scale": s["logit_scale"].half()}), r"logit_scale is \('F16'"),
        (lambda s: s.pop("logit_scale"), r"lacks logit_scale \(1\)"),
        (lambda s: s.update({"new": torch.ones(1)}), r"has beside them new \(1\)"),
    ],
)
def test_another_shape_is_refused_with_the_difference(two_bases, store, change, reason):
    state = load_file(two_bases / "model.safetensors")
    change(state)
    save_file(state, two_bases / "model.safetensors")
    upload(store, OTHER, two_bases)
    request = Request("th", base=OTHER, beta=0.5, allow_shape_match=True)
    with serving(store) as endpoint, pytest.raises(NoAdapter, match=reason):
        resolve(request, Hub(endpoint))


def test_shapes_are_compared_without_the_weights(two_bases, store):
    """Headers pass, by HTTP range; the weights' last bytes never do."""
    tails = [
        (folder / "model.safetensors").read_bytes()[-64:]
        for folder in (two_bases, two_bases.parent / "base")
    ]

    def watch(data):
        assert not any(tail in data for tail in tails)
        return data

    request = Request("th", base=OTHER, beta=0.5, allow_shape_match=True)
    with serving(store) as endpoint, wire(endpoint, watch) as line:
        assert resolve(request, Hub(line.endpoint)).resolution.fits_by == "shape"


def test_a_repository_that_is_gone_is_a_reason_not_an_end(store, tmp_path):
    base, family = siglip2(tmp_path / "base")
    upload(store, BASE, base)
    revision = upload(store, REGIONAL, base)
    here = declare(family, "merged", base, base, revision=revision, repo=REGIONAL,
                   paths=["model.safetensors"])  # fmt: skip
    gone = declare(family, "merged", base, base, revision="0" * 40, repo="real/gone",
                   paths=["model.safetensors"])  # fmt: skip
    register(store, here, gone)
    with serving(store) as endpoint:
        resolution = resolve(Request("th"), Hub(endpoint)).resolution
    assert resolution.adapters[0].source.repo == REGIONAL


def test_search_shows_what_is_not_pinned(store, tmp_path):
    base, family = siglip2(tmp_path / "base")
    unpinned(store, family, "finetune", base, base)
    with serving(store) as endpoint:
        result = CliRunner().invoke(cli, ["search", "--hub", endpoint, "--json"])
    assert json.loads(result.stdout)[0]["adapter"] == REGIONAL


def test_a_hub_that_sends_whole_files_for_headers_is_refused(tmp_path):
    save_file({"x": torch.zeros(100_000)}, tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    with dishonest({"some/model": {"model.safetensors": content}}) as liar:
        hub = Hub(liar.endpoint)
        at = hub.at_commit("some/model", "main")
        with pytest.raises(GgezError, match="100,000 were asked for"):
            tensors(hub, at, ["model.safetensors"])


def test_swapped_weights_are_reported_and_have_to_be_accepted(store, tmp_path):
    base, family = gemma3(tmp_path / "base")
    paths = get_family(family).layout(base).weights
    tune(tmp_path / "tuned", base, paths, torch.float32)
    tune(tmp_path / "swapped", tmp_path / "tuned", paths, torch.float32)
    unpinned(store, family, "finetune", base, tmp_path / "tuned")
    with serving(store) as endpoint:
        beta = ("--beta", "0.5")
        assert pull(endpoint, "-o", tmp_path / "one", *beta).exit_code == 0
        upload(store, REGIONAL, tmp_path / "swapped")
        refused = pull(endpoint, "-o", tmp_path / "two", *beta)
        assert refused.exit_code == 1
        assert f"{REGIONAL} holds other weights than when it was first used here" in refused.output
        assert f"{paths[0]} is changed" in refused.output
        assert not (tmp_path / "two").exists()
        taken = pull(endpoint, "-o", tmp_path / "two", *beta, "--accept-changed")
        assert taken.exit_code == 0, taken.output
        # They are the known ones now.
        assert pull(endpoint, "-o", tmp_path / "three", *beta).exit_code == 0


def test_a_curve_counts_for_recorded_bytes_only(seeded):
    listing = known_entries(Hub(seeded.endpoint), None, ["th"])
    card = next(e.document.card for e in listing.entries if e.document.card.curve != "unknown")
    region = find_region("th")
    assert chosen_beta(card, region, 0.7, None, None).why == "selected"
    loose = card.model_copy(update={"files": "unknown"})
    with pytest.raises(NotFit, match="bytes that its card does not record"):
        chosen_beta(loose, region, 0.7, None, None)
    assert chosen_beta(loose, region, 0.7, 0.4, None).value == 0.4
