"""Which pipelines have LoRA files, and what diffusers' loaders read of them.

From diffusers 0.42.1, loaders/lora_pipeline.py (`_lora_loadable_modules`) and
lora_conversion_utils.py. The tables are here so that no form has to import diffusers; the tests
compare them with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ggez_hub.families.diffusion import DENOISERS, MODEL_INDEX, read_json
from ggez_hub.merging.deltas import BadAdapter

# The modules within a component that diffusers finds again under kohya's names, in which every dot
# is an underscore. Others it reads as another module, or drops with a note in the log.
BLOCKS = r"(?:(?:down_blocks|up_blocks)\.\d+|mid_block)"
UNET = re.compile(
    rf"{BLOCKS}\.attentions\.\d+\.(?:proj_in|proj_out"
    r"|transformer_blocks\.\d+\.(?:attn[12]\.to_(?:q|k|v|out\.0)|ff\.net\.(?:0\.proj|2)))"
    rf"|{BLOCKS}\.resnets\.\d+\.(?:conv1|conv2|conv_shortcut|time_emb_proj)"
    r"|down_blocks\.\d+\.downsamplers\.0\.conv|up_blocks\.\d+\.upsamplers\.0\.conv"
    r"|conv_in|conv_out|time_embedding\.linear_[12]"
)
CLIP = re.compile(
    r"(?:text_model\.)?encoder\.layers\.\d+\.(?:self_attn\.(?:q|k|v|out)_proj|mlp\.fc[12])"
)
FLUX = re.compile(
    r"(?:single_)?transformer_blocks\.\d+\.attn\.(?:to_[qkv]|to_out\.0|to_add_out|add_[qkv]_proj)"
    r"|context_embedder|x_embedder|norm_out\.linear|proj_out"
    r"|time_text_embed\.(?:timestep|guidance|text)_embedder\.linear_[12]"
)
# Kohya's own names of the same, in files that come from elsewhere: SDXL's UNet as Stability numbers
# its blocks, and Flux as Black Forest Labs name its modules.
SGM_NAMES = re.compile(
    r"lora_unet_(?:(?:(?:input|output)_blocks_\d+_[012]|middle_block_[012])_(?:in_layers_2"
    r"|out_layers_3|emb_layers_1|skip_connection|op|conv|proj_in|proj_out"
    r"|transformer_blocks_\d+_(?:attn[12]_to_(?:q|k|v|out_0)|ff_net_(?:0_proj|2)))"
    r"|input_blocks_0_0|time_embed_[02]|label_emb_0_[02]|out_2)"
)
BFL_NAMES = re.compile(
    r"lora_unet_(?:double_blocks_1?\d_(?:img|txt)_(?:attn_qkv|attn_proj|mlp_0|mlp_2|mod_lin)"
    r"|single_blocks_[123]?\d_(?:linear1|linear2|modulation_lin))"
)


@dataclass(frozen=True)
class KohyaPart:
    """A component in a kohya file.

    prefix   what its keys start with
    paths    the modules that diffusers finds again
    scaled   whether diffusers multiplies the matrices by each module's own scale; where it does
             not, it makes a LoraConfig out of the alphas, and gets those wrong that differ
    """

    prefix: str
    paths: re.Pattern[str]
    scaled: bool = False

    @cached_property
    def names(self) -> re.Pattern[str]:
        """The same modules by their names in a file."""
        return re.compile(rf"{self.prefix}_(?:{self.paths.pattern})".replace(r"\.", "_"))


@dataclass(frozen=True)
class Loader:
    """What diffusers' LoRA loader of one class of pipelines reads.

    components  those that it loads a LoRA into, the denoiser first
    kohya       by component; nothing where it reads no kohya file
    foreign     kohya names of other tools, by the pattern of the whole name
    """

    components: tuple[str, ...]
    kohya: Mapping[str, KohyaPart]
    foreign: re.Pattern[str] | None = None


LOADERS: Mapping[str, Loader] = {
    "StableDiffusionPipeline": Loader(
        ("unet", "text_encoder"),
        {"unet": KohyaPart("lora_unet", UNET), "text_encoder": KohyaPart("lora_te", CLIP)},
    ),
    "StableDiffusionXLPipeline": Loader(
        ("unet", "text_encoder", "text_encoder_2"),
        {
            "unet": KohyaPart("lora_unet", UNET),
            "text_encoder": KohyaPart("lora_te1", CLIP),
            "text_encoder_2": KohyaPart("lora_te2", CLIP),
        },
        SGM_NAMES,
    ),
    "StableDiffusion3Pipeline": Loader(("transformer", "text_encoder", "text_encoder_2"), {}),
    "FluxPipeline": Loader(
        ("transformer", "text_encoder"),
        {
            # OneTrainer's names; kohya's own fuse query, key and value.
            "transformer": KohyaPart("lora_transformer", FLUX, scaled=True),
            "text_encoder": KohyaPart("lora_te1", CLIP, scaled=True),
        },
        BFL_NAMES,
    ),
}


@dataclass(frozen=True)
class Pipeline:
    """A pipeline by its configuration alone: the folder of that, its class, and its loader."""

    folder: Path
    name: str
    loader: Loader

    @property
    def denoiser(self) -> str:
        """The component that makes the picture: `unet` or `transformer`."""
        return self.loader.components[0]


def read_pipeline(folder: Path | None, base: str) -> Pipeline:
    """The pipeline in `folder`, which people know as `base`; model_index.json suffices.

    Raises BadAdapter for a pipeline whose LoRA files are not known here, BadPipeline.
    """
    if folder is None or not (folder / MODEL_INDEX).is_file():
        raise BadAdapter(
            f"{base} is no diffusers pipeline, and LoRA files are for those",
            "Take --as peft, or the merged form.",
        )
    name = read_json(folder / MODEL_INDEX).get("_class_name")
    if name not in LOADERS:
        raise BadAdapter(
            f"the LoRA files of a {name!r}, the pipeline {base}, are not known here",
            f"Known: {', '.join(LOADERS)}. Take the merged form.",
        )
    loader = LOADERS[str(name)]
    assert loader.components[0] in DENOISERS  # noqa: S101 - the table
    return Pipeline(folder, str(name), loader)
