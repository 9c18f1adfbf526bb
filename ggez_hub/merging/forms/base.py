"""What an adapter form knows of its base: the betas of its modules, and what its pipeline loads.

A form has a scale for each module, so that betas by part can be folded in where the tensors that one
scale covers have one beta. The tables of diffusers' LoRA loaders are from 0.42.1,
loaders/lora_pipeline.py (`_lora_loadable_modules`) and lora_conversion_utils.py: no form has to
import diffusers, and the tests compare them with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from ggez_hub.families import Family
from ggez_hub.families.diffusion import DENOISERS, MODEL_INDEX
from ggez_hub.families.family import KeyMap
from ggez_hub.families.weight_files import read_json
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.merging.merge import Adapter, require_tensors

# Where the modules of CLIP's text encoder were until transformers 5.
OLD_ROOT = "text_model."
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


@dataclass(frozen=True, eq=False)
class Loader:
    """What diffusers' LoRA loader of one class of pipelines reads.

    components  those that it loads a LoRA into, the denoiser first
    kohya       by component; nothing where it reads no kohya file
    foreign     kohya names of other tools, by the pattern of the whole name
    """

    components: tuple[str, ...]
    kohya: Mapping[str, KohyaPart]
    foreign: re.Pattern[str] | None = None


SD = Loader(
    ("unet", "text_encoder"),
    {"unet": KohyaPart("lora_unet", UNET), "text_encoder": KohyaPart("lora_te", CLIP)},
)
SDXL = Loader(
    ("unet", "text_encoder", "text_encoder_2"),
    {
        "unet": KohyaPart("lora_unet", UNET),
        "text_encoder": KohyaPart("lora_te1", CLIP),
        "text_encoder_2": KohyaPart("lora_te2", CLIP),
    },
    SGM_NAMES,
)
SD3 = Loader(("transformer", "text_encoder", "text_encoder_2"), {})
FLUX1 = Loader(
    ("transformer", "text_encoder"),
    {
        # OneTrainer's names; kohya's own fuse query, key and value.
        "transformer": KohyaPart("lora_transformer", FLUX, scaled=True),
        "text_encoder": KohyaPart("lora_te1", CLIP, scaled=True),
    },
    BFL_NAMES,
)
# Of Wan's two denoisers `load_lora_weights` takes one file for each; others have one.
TRANSFORMER = Loader(("transformer",), {})
NAMES: Mapping[Loader, str] = {
    SD: "LatentConsistencyModel StableDiffusion StableDiffusionImg2Img StableDiffusionInpaint",
    SDXL: "StableDiffusionXL StableDiffusionXLImg2Img StableDiffusionXLInpaint",
    SD3: "StableDiffusion3 StableDiffusion3Img2Img StableDiffusion3Inpaint",
    FLUX1: "Flux FluxFill FluxImg2Img FluxInpaint FluxKontext FluxKontextInpaint",
    Loader(FLUX1.components, {}): "Chroma ChromaImg2Img ChromaInpaint",
    TRANSFORMER: (
        "AceStep AnyFlow AuraFlow BriaFibo2 ChronoEdit CogVideoX CogVideoXImageToVideo "
        "CogVideoXVideoToVideo CogView4 Cosmos2_5_PredictBase ErnieImage Flux2 Flux2Klein "
        "HeliosPyramid HiDreamImage HunyuanSkyreelsImageToVideo HunyuanVideo HunyuanVideoFramepack "
        "HunyuanVideoImageToVideo Ideogram4 Kandinsky5I2I Kandinsky5I2V Kandinsky5T2I Kandinsky5T2V Krea2 "
        "LTX LTX2 LTX2ImageToVideo LTXCondition LTXImageToVideo Lumina2 Mochi QwenImage QwenImage21 "
        "QwenImageEdit QwenImageEditPlus QwenImageImg2Img QwenImageInpaint QwenImageLayered Sana "
        "SanaImageToVideo SanaSprint SanaSprintImg2Img SanaVideo SkyReelsV2 SkyReelsV2DiffusionForcing "
        "SkyReelsV2ImageToVideo WanAnimate Wan WanImageToVideo WanVACE WanVideoToVideo ZImage "
        "ZImageImg2Img ZImageInpaint ZImageOmni"
    ),
}
LOADERS: Mapping[str, Loader] = {
    f"{name}Pipeline": loader for loader, names in NAMES.items() for name in names.split()
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

    Raises BadAdapter for a pipeline whose LoRA files are not known here, GgezError.
    """
    if folder is None or not (folder / MODEL_INDEX).is_file():
        raise not_a_pipeline(base)
    name = read_json(folder / MODEL_INDEX).get("_class_name")
    if name not in LOADERS:
        raise BadAdapter(
            f"the LoRA files of a {name!r}, the pipeline {base}, are not known here",
            "Known are those into whose denoiser diffusers loads a LoRA. Take the merged form.",
        )
    loader = LOADERS[str(name)]
    assert loader.components[0] in DENOISERS  # noqa: S101 - the table
    return Pipeline(folder, str(name), loader)


def not_a_pipeline(base: str) -> BadAdapter:
    """The error that `base` has no place for a LoRA file."""
    return BadAdapter(
        f"{base} is not a diffusers pipeline, and LoRA files are for those",
        "Take --as peft, or the merged form.",
    )


class Need(Enum):
    """What of the base's files a form reads: nothing, configuration only, or all."""

    NOTHING = 0
    CONFIGURATION = 1
    WEIGHTS = 2


@dataclass(frozen=True)
class FormBase:
    """The base as an adapter form names it, and its folder as far as the form needs it.

    `variant` is which set of its weights is meant, as for a merge.
    """

    name: str
    revision: str | None
    family: Family
    folder: Path | None = None
    variant: str | None = None


@dataclass(frozen=True)
class FormBetas:
    """The betas of an adapter on a base, of which anything is read only where they are by tensor."""

    adapter: Adapter
    base: FormBase

    @property
    def are_one(self) -> bool:
        return not self.adapter.by_tensor

    @cached_property
    def index(self) -> WeightIndex:
        """The base's tensors; raises WrongBase where it lacks one that has a beta."""
        base = self.base
        assert base.folder is not None  # noqa: S101 - need
        index = WeightIndex(base.folder, base.family.layout(base.folder, base.variant).weights)
        require_tensors(self.adapter.by_tensor, index)
        return index

    def of_tensor(self, name: str) -> float:
        return self.adapter.beta_of(name)

    def of_module(self, path: str) -> float:
        """The beta of the weight of a module; of a pipeline's, the component comes first.

        Raises WrongBase, or as the family's key map.
        """
        if self.are_one:
            return self.adapter.beta
        name = self._key_map(path)
        if name is None:
            raise WrongBase(
                f"{self.adapter.folder} changes a module {path!r} that {self.base.name} does not have",
                "The adapter is for another model, or for a version of this one with other modules.",
            )
        return self.of_tensor(name)

    def of_named(self, name: str, pipeline: Pipeline) -> tuple[float, float]:
        """The betas of the weight and the bias of a module by its name in a kohya file.

        Raises BadAdapter for the name of another tool, which does not say what module it is.
        """
        if self.are_one:
            return self.adapter.beta, self.adapter.beta
        tensor = self._named(pipeline).get(name)
        if tensor is None:
            raise BadAdapter(
                f"{self.adapter.folder}: {name!r} is not the name of a module of {self.base.name}, so "
                "that its part is not known",
                "Take the merged form: leave out --as.",
            )
        return self.of_tensor(tensor), self.of_tensor(f"{tensor.removesuffix('weight')}bias")

    @cached_property
    def _key_map(self) -> KeyMap:
        return self.base.family.key_map(self.index.folder, self.index)

    def _named(self, pipeline: Pipeline) -> dict[str, str]:
        """The base's weights by the names of their modules in a kohya file, where these are unique."""
        found: dict[str, str | None] = {}
        for tensor in self.index:
            component, _, rest = tensor.partition("/")
            part = pipeline.loader.kohya.get(component)
            if part is None or not rest.endswith(".weight"):
                continue
            inner = rest.removesuffix(".weight").removeprefix(OLD_ROOT)
            for spelled in {inner, f"{OLD_ROOT}{inner}"}:
                name = f"{part.prefix}_{spelled.replace('.', '_')}"
                found[name] = None if name in found else tensor
        return {name: tensor for name, tensor in found.items() if tensor is not None}
