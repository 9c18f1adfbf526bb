"""`extract` beside the complete singular value decomposition of the same matrices, in one run.

The model is open_clip's with 6 blocks of width 512 in float16; each matrix of the fine-tune differs
from it by a spectrum that falls as 1 / n, drawn at random. `python -m benchmarks extraction` prints the CPU
seconds of both, and the larger error (1 is the best of the rank).
"""

from __future__ import annotations

import copy
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.merge_laws import CONFIG, write_base

SIZES = {
    "embed_dim": 512,
    "vision_cfg": {**CONFIG["vision_cfg"], "layers": 3, "width": 512, "head_width": 64},
    "text_cfg": {**CONFIG["text_cfg"], "layers": 3, "width": 512, "heads": 8, "vocab_size": 4000},
}


def main() -> None:
    """Print the table; two minutes."""
    import torch
    from safetensors.torch import load_file, save_file

    from ggez_hub.families import get_family
    from ggez_hub.merging.extraction.lora import extract_lora

    # With more, torch decomposes such matrices no faster, and its threads wait for each other.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        base = write_base(Path(place) / "base", SIZES, torch.float16)
        (weights,) = base.glob("*.safetensors")
        state = load_file(weights)
        tuned = Path(place) / "tuned"
        tuned.mkdir()
        matrices = [name for name in state if name.endswith(("c_fc.weight", "c_proj.weight"))]
        other = copy.copy(state)
        for name in matrices:
            other[name] = (state[name].double() + _change(state[name].shape)).half()
        save_file(other, tuned / weights.name)
        (tuned / "open_clip_config.json").write_bytes((base / "open_clip_config.json").read_bytes())
        deltas = {name: other[name].double() - state[name].double() for name in matrices}
        start = time.process_time()
        spectra = {name: torch.linalg.svd(d, full_matrices=False)[1] for name, d in deltas.items()}
        svd = time.process_time() - start
        print(
            f"{weights.stat().st_size / 1e6:.0f} MB; {len(deltas)} matrices decomposed: {svd:.1f} CPU seconds"
        )
        family = get_family("embedding")
        # The first one imports libraries.
        extract_lora(base, tuned, Path(place) / "first", family, 1)
        for rank in (16, None):
            start = time.process_time()
            found = extract_lora(base, tuned, Path(place) / f"{rank}", family, rank)
            seconds = time.process_time() - start
            worst = max(
                done.error / float(spectra[done.tensor][done.rank :].norm())
                for done in found.extracted
                if done.tensor in spectra
            )
            print(
                f"rank {rank or 'auto'}: {seconds:.1f} s, {seconds / svd:.2f} of it; error {worst:.5f} of the best"
            )


def _change(shape: Any) -> Any:
    import torch

    n = min(shape)
    left, right = (torch.linalg.qr(torch.randn(side, n).double())[0] for side in shape)
    return (left * (1.0 / torch.arange(1, n + 1).double())) @ right.mT
