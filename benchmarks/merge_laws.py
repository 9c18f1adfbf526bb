"""Three laws of a merge for every kind of adapter that PEFT makes, ours beside PEFT's own ways.

`python -m benchmarks merge_laws` prints the table of docs/merging.md. The reference is PEFT's
`merge_and_unload` on a float64 copy of the model, of one adapter at weight 1; the base is stored in
float32 and the numbers of ours are units in its last place, the largest of all elements.

identity       merged at beta 1 against the reference
linearity      merged at beta 0.4 against base + 0.4 * Delta of the reference
commutation    two adapters merged in the two orders, against each other
weighted       PEFT's `add_weighted_adapter([A], [0.4])`, merged: the relative error of its Delta
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGETS = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)"
CONFIG: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 64, "width": 48, "heads": 3, "layers": 2},
}
WEIGHTS = "open_clip_model.safetensors"
BETA = 0.4
COLUMNS = ("adapter", "identity", "linearity", "commutation", "weighted")


def kinds() -> Mapping[str, Any]:
    """The configurations of PEFT by what a reader calls them."""
    import peft
    from peft.tuners.lora.config import BdLoraConfig, KasaConfig, MontecloraConfig, VeloraConfig

    lora = {"r": 4, "lora_alpha": 6, "target_modules": TARGETS}
    same: dict[str, Any] = {"target_modules": TARGETS}
    return {
        "LoRA": peft.LoraConfig(**lora),
        "rsLoRA": peft.LoraConfig(use_rslora=True, **lora),
        "DoRA": peft.LoraConfig(use_dora=True, **lora),
        "LoRA, `lora_bias`": peft.LoraConfig(lora_bias=True, **lora),
        'LoRA, `bias="lora_only"`': peft.LoraConfig(bias="lora_only", **lora),
        "LoRA, `modules_to_save`": peft.LoraConfig(modules_to_save=["ln_final"], **lora),
        "LoRA, ranks by pattern": peft.LoraConfig(rank_pattern={"c_fc": 3}, **lora),
        "LoRA, convolution": peft.LoraConfig(r=4, target_modules=["visual.conv1"]),
        "LoRA, embedding": peft.LoraConfig(r=4, target_modules=["token_embedding"]),
        "LoRA, tokens": peft.LoraConfig(
            trainable_token_indices={"token_embedding": [3, 60]}, **lora
        ),
        "BD-LoRA": peft.LoraConfig(
            use_bdlora=BdLoraConfig(target_modules_bd_a=["c_fc"], nblocks=2, match_strict=False),
            **lora,
        ),
        "MonteCLoRA": peft.LoraConfig(monteclora_config=MontecloraConfig(), **lora),
        "VeLoRA": peft.LoraConfig(velora_config=VeloraConfig(num_groups=4), **lora),
        "KaSA": peft.LoraConfig(kasa_config=KasaConfig(), **lora),
        "AdaLoRA": peft.AdaLoraConfig(init_r=4, target_r=2, total_step=10, **same),
        "LoHa": peft.LoHaConfig(r=4, alpha=6, **same),
        "LoKr": peft.LoKrConfig(r=4, alpha=6, **same),
        "IA3": peft.IA3Config(target_modules=["c_fc", "c_proj"], feedforward_modules=["c_proj"]),
        "OFT": peft.OFTConfig(oft_block_size=8, **same),
        "BOFT": peft.BOFTConfig(boft_block_size=4, **same),
        "HRA": peft.HRAConfig(r=4, **same),
        "VeRA": peft.VeraConfig(r=8, **same),
        "FourierFT": peft.FourierFTConfig(n_frequency=50, **same),
        "BEFT": peft.BeftConfig(**same),
        "C3A": peft.C3AConfig(block_size=8, **same),
        "DEFT": peft.DeftConfig(r=4, **same),
        "DeLoRA": peft.DeloraConfig(r=4, **same),
        "GLoRA": peft.GloraConfig(r=4, **same),
        "GraLoRA": peft.GraloraConfig(r=4, gralora_k=2, **same),
        "HiRA": peft.HiraConfig(r=4, **same),
        "MiSS": peft.MissConfig(r=4, **same),
        "OSF": peft.OSFConfig(effective_rank=40, **same),
        "PEANuT": peft.PeanutConfig(r=4, **same),
        "PVeRA": peft.PveraConfig(r=8, **same),
        "RandLoRA": peft.RandLoraConfig(r=8, **same),
        "RoAd": peft.RoadConfig(group_size=8, **same),
        "SHiRA": peft.ShiraConfig(r=2, **same),
        "SuperTuning": peft.SupertuningConfig(**same),
        "TinyLoRA": peft.TinyLoraConfig(u=6, **same),
        "UniLoRA": peft.UniLoraConfig(theta_d_length=300, **same),
        "VB-LoRA": peft.VBLoRAConfig(num_vectors=10, vector_length=16, **same),
        "WaveFT": peft.WaveFTConfig(n_frequency=50, **same),
        "Trainable tokens": peft.TrainableTokensConfig(
            target_modules=["token_embedding"], token_indices=[3, 60]
        ),
        "LN tuning": peft.LNTuningConfig(target_modules=["ln_1", "ln_post"]),
    }


def main() -> None:
    """Print the table, and that of LoRA files; two minutes."""
    import peft
    import torch

    # As a merge computes: singular values and Fourier transforms of float32 differ by the number of threads.
    torch.set_num_threads(1)
    print(f"PEFT {peft.__version__}")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = write_base(Path(place) / "base")
        for number, (name, config) in enumerate(kinds().items()):
            print("| " + " | ".join((name, *row(base, config, Path(place) / str(number)))) + " |")
        # It takes `units` from here.
        from benchmarks import merge_files

        merge_files.table(Path(place) / "files")


def model(config: Mapping[str, Any] = CONFIG) -> Any:
    """A small open_clip model with random weights, the same at each call."""
    import open_clip
    import torch

    torch.manual_seed(0)
    made = open_clip.CLIP(**config)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.1)
    return made.eval()


def write_base(folder: Path, config: Mapping[str, Any] = CONFIG, dtype: Any = None) -> Path:
    """The model in `dtype`, else float32, as a folder of open_clip."""
    from safetensors.torch import save_file

    folder.mkdir()
    state = model(config).to(dtype).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / WEIGHTS)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return folder


def row(base: Path, config: Any, place: Path) -> tuple[str, ...]:
    """The four cells of one kind."""
    first, second = (write_adapter(place / str(seed), config, seed) for seed in (1, 2))
    reference = merged_by_peft(first)
    stored = merged(base, {}, place / "none")
    changed = {k: stored[k] + BETA * (reference[k] - stored[k]) for k in stored}
    orders = (
        merged(base, adapters, place / f"order-{number}")
        for number, adapters in enumerate(
            ({first: BETA, second: 0.3}, {second: 0.3, first: BETA}), 1
        )
    )
    return (
        units(merged(base, {first: 1.0}, place / "one"), reference, stored),
        units(merged(base, {first: BETA}, place / "part"), changed, stored),
        units(*orders, stored),
        weighted_by_peft(first, changed, stored),
    )


def write_adapter(folder: Path, config: Any, seed: int) -> Path:
    """An adapter that PEFT makes, moved by noise."""
    import copy

    import peft
    import torch

    torch.manual_seed(seed)
    wrapped: Any = peft.get_peft_model(model(), copy.deepcopy(config))
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    wrapped.save_pretrained(folder)
    return folder


def merged(base: Path, adapters: Mapping[Path, float], out: Path) -> dict[str, Any]:
    """Our merge in float64; of no adapters the base."""
    from safetensors.torch import load_file

    from ggez_hub.families import get_family
    from ggez_hub.merging import Adapter, merge

    if adapters:
        merge(
            base, [Adapter(a, beta) for a, beta in adapters.items()], out, get_family("embedding")
        )
    found = load_file((out if adapters else base) / WEIGHTS)
    return {name: tensor.double() for name, tensor in found.items()}


def loaded(adapter: Path) -> Any:
    """PEFT's model in float64 with the adapter on it."""
    import peft

    return peft.PeftModel.from_pretrained(
        model().double(), adapter, autocast_adapter_dtype=False
    ).double()


def merged_by_peft(adapter: Path) -> dict[str, Any]:
    """PEFT's own merge in float64."""
    state: dict[str, Any] = loaded(adapter).merge_and_unload().state_dict()
    return state


def weighted_by_peft(adapter: Path, expected: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """The relative error of what PEFT makes of one adapter at a weight, or that it refuses."""
    wrapped = loaded(adapter)
    if not hasattr(wrapped, "add_weighted_adapter"):
        return "not offered"
    options = {"combination_type": "linear"} if wrapped.peft_type == "LORA" else {}
    try:
        wrapped.add_weighted_adapter(["default"], [BETA], "weighted", **options)
    except (ValueError, NotImplementedError, TypeError) as error:
        return f"refused: {type(error).__name__}"
    wrapped.double().set_adapter("weighted")
    try:
        found = wrapped.merge_and_unload(adapter_names=["weighted"]).state_dict()
    # Whatever a form does not expect of the adapter that was made of another.
    except Exception as error:
        return f"merging it raises {type(error).__name__}"
    off = sum(float((found[k] - expected[k]).square().sum()) for k in stored)
    size = sum(float((expected[k] - stored[k]).square().sum()) for k in stored)
    return f"{(off / size) ** 0.5:.0%} off" if off / size > 1e-12 else "right"


def units(one: Mapping[str, Any], other: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    """The largest difference in units in the last place of float32, of base, Delta or result."""
    import torch

    worst = 0.0
    for name, base in stored.items():
        size = torch.stack([base.abs(), (other[name] - base).abs(), other[name].abs()]).amax(0)
        unit = torch.exp2(size.clamp_min(2.0**-126).log2().floor()) * 2.0**-23
        worst = max(worst, float(((one[name] - other[name]).abs() / unit).max()))
    return f"{worst:.2f}"


if __name__ == "__main__":
    main()
