"""Tiny models of real architectures, made once for each run."""

from __future__ import annotations

import pytest
import torch

from ..models import write_lora, write_open_clip

DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


@pytest.fixture(scope="session", params=DTYPES)
def open_clip_base(request, tmp_path_factory):
    """An open_clip folder in one of three dtypes."""
    return write_open_clip(tmp_path_factory.mktemp("base"), DTYPES[request.param])


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """The same model in each of three dtypes."""
    return {
        name: write_open_clip(tmp_path_factory.mktemp("base"), dtype)
        for name, dtype in DTYPES.items()
    }


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """An open_clip folder in float16."""
    return write_open_clip(tmp_path_factory.mktemp("base"), torch.float16)


@pytest.fixture(scope="session")
def lora(tmp_path_factory):
    """MLP, token embedding and patch convolution of both towers, with rank and alpha patterns."""
    return write_lora(
        tmp_path_factory.mktemp("lora"),
        targets=r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)|token_embedding|visual.conv1",
        rank_pattern={"c_fc": 3},
        alpha_pattern={"resblocks.1.mlp.c_proj": 11},
    )
