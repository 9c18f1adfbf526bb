"""The arithmetic of LyCORIS's forms in float64, written down as their papers have it."""

from __future__ import annotations

import torch


def wide(parts, name):
    return parts[name].double()


def lora(parts):
    """B @ A, or with a core: sum over i, j of B[o, i] core[i, j, ...] A[j, c]."""
    a, b = wide(parts, "lora_down.weight"), wide(parts, "lora_up.weight")
    if "lora_mid.weight" in parts:
        return torch.einsum(
            "oi,ij...,jc->oc...", b.flatten(1), wide(parts, "lora_mid.weight"), a.flatten(1)
        )
    return (b.flatten(1) @ a.flatten(1)).reshape(len(b), *a.shape[1:])


def loha(parts):
    """(w1_a @ w1_b) * (w2_a @ w2_b), or the same with cores."""
    sides = []
    for number in (1, 2):
        a, b = wide(parts, f"hada_w{number}_a"), wide(parts, f"hada_w{number}_b")
        if f"hada_t{number}" in parts:
            core = wide(parts, f"hada_t{number}")
            sides.append(torch.einsum("io,ij...,jc->oc...", a, core, b))
        else:
            sides.append(a @ b)
    return sides[0] * sides[1]


def lokr(parts):
    """kron(w1, w2) over the first two axes."""
    one = (
        wide(parts, "lokr_w1")
        if "lokr_w1" in parts
        else wide(parts, "lokr_w1_a") @ wide(parts, "lokr_w1_b")
    )
    if "lokr_w2" in parts:
        other = wide(parts, "lokr_w2")
    elif "lokr_t2" in parts:
        a, b = wide(parts, "lokr_w2_a"), wide(parts, "lokr_w2_b")
        other = torch.einsum("io,ij...,jc->oc...", a, wide(parts, "lokr_t2"), b)
    else:
        other = wide(parts, "lokr_w2_a") @ wide(parts, "lokr_w2_b")
    return torch.einsum("ac,bd...->abcd...", one, other).reshape(
        one.shape[0] * other.shape[0], one.shape[1] * other.shape[1], *other.shape[2:]
    )


def decomposed(weight, magnitude):
    """m * W / ||W||, the norm over all axes along which the magnitudes are one number."""
    axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1 and axis < weight.dim()]
    return magnitude.double() * weight / weight.pow(2).sum(axes, keepdim=True).sqrt()
