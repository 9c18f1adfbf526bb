"""LoRA files for the tiny pipelines, in every style, and what diffusers makes of them."""

from __future__ import annotations

import re
import warnings

import torch
from diffusers import DiffusionPipeline
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family

FAMILY = get_family("diffusion")


def load(base, dtype=torch.float32):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiffusionPipeline.from_pretrained(base, torch_dtype=dtype)


def weights(folder):
    """Every tensor of a pipeline, by `<component>/<name>`."""
    return {
        f"{path.rpartition('/')[0]}/{name}": tensor
        for path in FAMILY.layout(folder).weights
        for name, tensor in load_file(folder / path).items()
    }


def write_by_diffusers(base, folder, targets, *, style="peft", metadata=False, **options):
    """A LoRA of the components in `targets`, added and saved by PEFT and diffusers."""
    from diffusers.training_utils import _collate_lora_metadata

    torch.manual_seed(1)
    pipeline = load(base)
    layers = {}
    for component, modules in targets.items():
        model = getattr(pipeline, component)
        config = LoraConfig(target_modules=modules, **{"r": 4, "lora_alpha": 4, **options})
        model.add_adapter(config)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.3)
        state = get_peft_model_state_dict(model)
        if style == "diffusers":
            state = convert_state_dict_to_diffusers(state)
        layers[f"{component}_lora_layers"] = {k: v.contiguous() for k, v in state.items()}
    if metadata:
        components = {name: getattr(pipeline, name) for name in targets}
        layers |= _collate_lora_metadata(components)
    pipeline.save_lora_weights(folder, **layers)
    return folder / LORA_WEIGHT_NAME_SAFE


def write_named(base, path, names, *, down="lora_down", up="lora_up", alpha=None, rank=4):
    """A LoRA with keys of our choice: `names` maps the key's module to the tensor it changes.

    `alpha`, if given, is a function of the number of the module.
    """
    torch.manual_seed(2)
    tensors, state = weights(base), {}
    for number, (module, target) in enumerate(names.items()):
        out, into, *kernel = tensors[target].shape
        state[f"{module}.{down}.weight"] = torch.randn(rank, into, *kernel) * 0.3
        state[f"{module}.{up}.weight"] = torch.randn(out, rank, *(1 for _ in kernel)) * 0.3
        if alpha is not None:
            state[f"{module}.alpha"] = torch.tensor(float(alpha(number)))
    path.parent.mkdir(exist_ok=True, parents=True)
    save_file(state, path)
    return path


def modules(base, component, pattern):
    """The modules of a component whose path matches `pattern`, and their tensors."""
    return {
        name.removeprefix(f"{component}/").removesuffix(".weight"): name
        for name in weights(base)
        if re.fullmatch(rf"{component}/({pattern})\.weight", name)
    }


def regional_by_diffusers(base, adapter, load_adapter=None):
    """theta_regional by diffusers' fuse_lora on a float64 copy: `<component>/<name>` -> tensor."""
    pipeline = load(base)
    if load_adapter is None:
        pipeline.load_lora_weights(adapter.parent, weight_name=adapter.name)
    else:
        load_adapter(pipeline)
    components = [name for name, part in pipeline.components.items() if hasattr(part, "to")]
    adapted = [n for n in components if getattr(getattr(pipeline, n), "peft_config", None)]
    for name in adapted:
        getattr(pipeline, name).to(torch.float64)
    pipeline.fuse_lora(components=adapted)
    pipeline.unload_lora_weights()
    stored = weights(base)
    regional = {}
    for name in components:
        for key, tensor in getattr(pipeline, name).state_dict().items():
            regional[f"{name}/{key}"] = tensor.double()
    return {name: regional[name] for name in stored if name in regional}, set(adapted)
