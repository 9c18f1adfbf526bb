"""task_arithmetic and ties against their papers in float64, with one region and with three."""

from __future__ import annotations

import pytest
import torch
from mergekit.merge_methods import get
from safetensors.torch import load_file

from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.engine import registered_method
from ggez_hub.merging.methods import METHODS

from .conftest import DTYPES
from .exactness import WEIGHTS, assert_exact, load_pair
from .test_finetune import write_finetune

EMBEDDING = get_family("embedding")
BETAS = (0.9, 0.5, 0.3)
CHANGED = (
    ("logit_scale", "visual.conv1.weight", "ln_final.weight"),
    ("logit_scale", "visual.conv1.weight", "token_embedding.weight"),
    ("visual.conv1.weight", "ln_final.weight"),
)


@pytest.fixture(scope="module")
def regions(bases, tmp_path_factory):
    """Three regions, each with tensors of its own and some that another changes too."""
    folder = tmp_path_factory.mktemp("regions")

    def of(dtype):
        place = folder / dtype
        if not place.exists():
            place.mkdir()
            for number, changed in enumerate(CHANGED):
                write_finetune(
                    place / str(number), bases[dtype], torch.float32, changed=changed, seed=number
                )
        return [place / str(number) for number in range(len(CHANGED))]

    return of


def reference(method, base, deltas, betas):
    """theta_global + sum beta * Delta; for TIES of those alone that have the sum's sign."""
    weighted = torch.stack([beta * delta for beta, delta in zip(betas, deltas, strict=True)])
    if method == "ties":
        elected = torch.where(weighted.sum(0) >= 0, 1.0, -1.0)
        weighted = weighted * (weighted.sign() == elected)
    return base + weighted.sum(0)


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "ggez_linear"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 3])
def test_equals_the_paper(method, dtype, count, regions, bases, tmp_path):
    folders, betas = regions(dtype)[:count], BETAS[:count]
    adapters = [Adapter(f, b) for f, b in zip(folders, betas, strict=True)]
    merge(bases[dtype], adapters, tmp_path / "out", EMBEDDING, method)
    base, out = load_pair(bases[dtype], tmp_path / "out")
    tuned = [load_file(folder / WEIGHTS) for folder in folders]
    expected = {}
    for name, tensor in base.items():
        wide = tensor.double()
        deltas = [t[name].double() - wide for t in tuned]
        expected[name] = reference(method, wide, deltas, betas)
    changed = assert_exact(base, out, expected, 1.0)
    assert {"logit_scale", "visual.conv1.weight"} <= changed
    assert "text.position_ids" not in changed


def test_every_method_that_is_offered_is_registered():
    assert all(get(registered_method(name)) for name in METHODS)


@pytest.mark.parametrize("method", ["dare_ties", "slerp", "linear"])
def test_other_methods_are_mergekits_own(method, base, lora, tmp_path):
    with pytest.raises(UsageProblem) as caught:
        merge(base, [Adapter(lora, 1.0)], tmp_path / "out", EMBEDDING, method)
    assert method in caught.value.message
    assert "mergekit" in caught.value.hint
