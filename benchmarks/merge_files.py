"""LoRA files as LyCORIS writes them: our merge, LyCORIS's own and diffusers', beside the training.

`python -m benchmarks merge_laws` prints the table too. The truth is what the training computes: the
forward of LyCORIS's own module in float64, of every linear layer of a small UNet of SD 1.5 in float32.

identity     our merge at beta 1, in units in the last place, the largest of all elements
lycoris      `merge_to` of the network that it makes of the file
diffusers    `load_lora_into_unet` of what `lora_state_dict` reads, and `fuse_lora`

The last two are the relative error of the Delta.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.merge_laws import units

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
COLUMNS = ("file", "identity", "lycoris", "diffusers")
CONFIG: dict[str, Any] = {
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (16, 32),
    "norm_num_groups": 4,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


def kinds() -> Mapping[str, Callable[[str, Any, int], Any]]:
    """LyCORIS's modules by what a reader calls them: of a name, a layer, and the layer's number."""
    from lycoris.modules.glora import GLoRAModule
    from lycoris.modules.ia3 import IA3Module
    from lycoris.modules.locon import LoConModule
    from lycoris.modules.loha import LohaModule
    from lycoris.modules.lokr import LokrModule

    size: dict[str, Any] = {"lora_dim": 4, "alpha": 2}
    return {
        "LoRA": lambda name, layer, _: LoConModule(name, layer, **size),
        "LoRA, alphas that differ": lambda name, layer, number: LoConModule(
            name, layer, lora_dim=4, alpha=1 + number % 3
        ),
        "DoRA (`dora_scale`)": lambda name, layer, _: LoConModule(
            name, layer, weight_decompose=True, **size
        ),
        "LoHa": lambda name, layer, _: LohaModule(name, layer, **size),
        "LoKr": lambda name, layer, _: LokrModule(name, layer, 1.0, 1, 0.5, factor=4),
        "GLoRA": lambda name, layer, _: GLoRAModule(name, layer, **size),
        "IA3": lambda name, layer, _: IA3Module(name, layer),
    }


def table(place: Path) -> None:
    """Print the table; half a minute."""
    from importlib.metadata import version

    import diffusers
    from lycoris.logging import logger

    logger.setLevel(logging.ERROR)
    diffusers.utils.logging.set_verbosity_error()
    print(f"\nLyCORIS {version('lycoris-lora')}, diffusers {version('diffusers')}")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    base = write_base(place / "base")
    for number, (name, make) in enumerate(kinds().items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print("| " + " | ".join((name, *row(base, make, place / str(number)))) + " |")


def write_base(folder: Path) -> Path:
    """A pipeline that has nothing but its UNet."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    UNet2DConditionModel(**CONFIG).save_pretrained(folder / "unet")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def row(base: Path, make: Callable[[str, Any, int], Any], place: Path) -> tuple[str, ...]:
    """The three cells of one kind."""
    from safetensors.torch import load_file

    from ggez_hub.families import get_family
    from ggez_hub.merging import Adapter, merge

    place.mkdir()
    unet = loaded(base)
    stored = {key: tensor.double() for key, tensor in load_file(base / WEIGHTS).items()}
    deltas = write_file(unet, make, place / "lora.safetensors")
    truth = {key: tensor + deltas.get(key, 0) for key, tensor in stored.items()}
    adapter = Adapter(place / "lora.safetensors", 1.0)
    merge(base, [adapter], place / "out", get_family("diffusion"))
    ours = {k: t.double() for k, t in load_file(place / "out" / WEIGHTS).items()}
    others = (by_lycoris, by_diffusers)
    return (
        units(ours, truth, stored),
        *(off(other, unet, place / "lora.safetensors", truth, stored) for other in others),
    )


def loaded(base: Path) -> Any:
    """The UNet in float64."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(base / "unet").double().requires_grad_(False)


def write_file(unet: Any, make: Callable[[str, Any, int], Any], path: Path) -> dict[str, Any]:
    """A file of modules on every linear layer, and the Delta of each by its forward."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    state, deltas = {}, {}
    layers = [(n, m) for n, m in unet.named_modules() if isinstance(m, torch.nn.Linear)]
    for number, (name, layer) in enumerate(layers):
        flat = f"lora_unet_{name.replace('.', '_')}"
        module = make(flat, layer, number).float()
        for parameter in module.parameters():
            parameter.data.normal_(0, 0.2)
        own = {f"{flat}.{k}": v.contiguous().clone() for k, v in module.state_dict().items()}
        state |= own
        module.double()
        with torch.no_grad():
            inputs = torch.eye(layer.in_features, dtype=torch.float64)
            deltas[f"{name}.weight"] = (module(inputs) - layer(inputs)).T
    save_file(state, path)
    return deltas


def by_lycoris(unet: Any, path: Path) -> Mapping[str, Any]:
    """What LyCORIS makes of the file."""
    from lycoris.wrapper import LycorisNetwork, create_lycoris_from_weights

    LycorisNetwork.apply_preset({"lora_prefix": "lora_unet"})
    network, _ = create_lycoris_from_weights(1.0, str(path), unet)
    network.double().merge_to(1.0)
    state: Mapping[str, Any] = unet.state_dict()
    return state


def by_diffusers(unet: Any, path: Path) -> Mapping[str, Any]:
    """What diffusers makes of the file."""
    from diffusers import StableDiffusionPipeline

    pipeline: Any = StableDiffusionPipeline
    state, alphas = pipeline.lora_state_dict(str(path), unet_config=unet.config)
    pipeline.load_lora_into_unet(state, alphas, unet, adapter_name="a")
    unet.double().fuse_lora()
    fused = {k.replace(".base_layer", ""): t for k, t in unet.state_dict().items()}
    return {k: t for k, t in fused.items() if "lora_" not in k}


def off(
    other: Callable[[Any, Path], Mapping[str, Any]],
    unet: Any,
    path: Path,
    truth: Mapping[str, Any],
    stored: Mapping[str, Any],
) -> str:
    """The relative error of the Delta of another program, or what it does with the file."""
    try:
        found = other(copy.deepcopy(unet), path)
    # Whatever a program raises of a file that it does not know.
    except Exception as error:
        return f"refused: {type(error).__name__}"
    error = sum(float((found[k] - truth[k]).square().sum()) for k in stored)
    size = sum(float((truth[k] - stored[k]).square().sum()) for k in stored)
    if all(found[k].equal(stored[k]) for k in stored):
        return "ignored"
    return f"{(error / size) ** 0.5:.0%} off" if error / size > 1e-12 else "right"
