"""Contrastive training: the losses of CLIP and SigLIP, and batches by cached gradients."""

from __future__ import annotations

import pytest
import torch

from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.families import get_family
from ggez_hub.training.backend import StepContext
from ggez_hub.training.embedding import EmbeddingModule
from tests.evaluation.towers import CLIP, SIGLIP, write_towers
from tests.models import write_open_clip

N = 7


def embedder(folder):
    found = open_embedder(folder, get_family("embedding"))
    found.model.to(torch.float64)
    return found


def write_open(folder):
    folder.mkdir()
    return write_open_clip(folder, torch.float32, buffer=False)


MAKERS = {
    "clip": lambda folder: write_towers(folder, CLIP, 0.1),
    "siglip": lambda folder: write_towers(folder, SIGLIP, 0.1),
    "open_clip": write_open,
}


@pytest.fixture(scope="module", params=list(MAKERS))
def learner(request, tmp_path_factory):
    """A learner in float64, without dropout."""
    folder = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "base")
    found = EmbeddingModule(embedder(folder), None)
    return found.requires_grad_(True)


def batch(learner, start, stop):
    """Inputs of some of N pairs, always the same ones."""
    random = torch.Generator().manual_seed(1)
    size = 32 if hasattr(learner.model, "visual") else 28
    pictures = torch.randn(N, 3, size, size, generator=random, dtype=torch.float64)[start:stop]
    words = torch.randint(3, 60, (N, 16), generator=random)[start:stop]
    words[:, -1] = 2
    if hasattr(learner.model, "visual"):
        return {"pictures": {"image": pictures}, "texts": {"text": words}}
    return {"pictures": {"pixel_values": pictures}, "texts": {"input_ids": words}}


def gradients(learner, size):
    learner.zero_grad()
    run = StepContext(learner, lambda total: total.backward())
    parts = [batch(learner, start, min(start + size, N)) for start in range(0, N, size)]
    loss = learner.backward(run, parts)
    return loss, {n: p.grad.clone() for n, p in learner.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_cached_gradients_are_those_of_the_whole_batch(learner, kind):
    learner.kind = kind
    whole_loss, whole = gradients(learner, N)
    for size in (1, 3):
        loss, cached = gradients(learner, size)
        assert loss.items.item() == N
        torch.testing.assert_close(loss.total, whole_loss.total, rtol=1e-12, atol=0)
        assert cached.keys() == whole.keys()
        assert any(grad.abs().max() > 1e-6 for grad in whole.values())
        for name, grad in whole.items():
            torch.testing.assert_close(cached[name], grad, rtol=1e-9, atol=1e-12, msg=name)


def test_the_losses_are_those_of_their_papers(learner):
    """CLIP: cross entropy both ways over the batch; SigLIP: a sigmoid for each of the n * n pairs."""
    run = StepContext(learner, lambda total: None)
    with torch.no_grad():
        found = learner(**batch(learner, 0, N))
        similar = found.scale.exp() * found.pictures @ found.texts.T
        if found.bias is not None:
            similar = similar + found.bias
        softmax = -(similar.log_softmax(0).diag() + similar.log_softmax(1).diag()).sum() / 2
        signs = 2 * torch.eye(N, dtype=torch.float64) - 1
        sigmoid = -torch.log(torch.sigmoid(signs * similar)).sum()
        for kind, expected in (("clip", softmax), ("siglip", sigmoid)):
            learner.kind = kind
            loss = learner.loss(run, [batch(learner, 0, 4), batch(learner, 4, N)])
            torch.testing.assert_close(loss.total, expected)


def test_dropout_is_the_same_in_both_passes_of_cached_gradients(tmp_path):
    """Else the gradients would be those of other features than the loss."""
    folder = write_towers(tmp_path / "base", CLIP, 0.1)
    learner = EmbeddingModule(embedder(folder), None)

    seen = []

    class Dropping(torch.nn.Linear):
        def forward(self, x):
            dropped = torch.nn.functional.dropout(super().forward(x), 0.5)
            seen.append(dropped.detach().clone())
            return dropped

    learner.model.visual_projection.__class__ = Dropping
    gradients(learner.requires_grad_(True), 4)
    first, second = seen[:2], seen[2:]
    assert all(one.equal(other) for one, other in zip(first, second, strict=True))
    assert not first[0].equal(first[1][: len(first[0])])
