"""Tiny configs of real architectures, and the names that their checkpoints on the Hub have."""

from __future__ import annotations

import functools
import json
import re
import warnings
from dataclasses import dataclass, field

import peft
import torch
import transformers
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
GROUPED = TEXT | {"num_key_value_heads": 1, "max_position_embeddings": 64}
LLAMA = GROUPED | {"model_type": "llama"}
VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
CLIP_VISION = VISION | {"model_type": "clip_vision_model", "projection_dim": 16}
SIGLIP_VISION = VISION | {"model_type": "siglip_vision_model", "projection_dim": 32}
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
QWEN_TEXT = GROUPED | {"rope_parameters": ROPE}
QWEN_VISION = {"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 14}

# From names in memory to names on the Hub, as transformers 4 and earlier had them.
LLAVA_ON_THE_HUB = (
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.vision_tower\.", "vision_tower."),
    (r"^model\.multi_modal_projector\.", "multi_modal_projector."),
    (r"^model\.image_newline$", "image_newline"),
)
# CLIP and SigLIP towers once had a module of their own within.
NESTED_TOWER = ((r"^vision_tower\.", "vision_tower.vision_model."),)
QWEN2_ON_THE_HUB = (
    (r"^model\.language_model\.", "model."),
    (r"^model\.visual\.", "visual."),
)


@dataclass(frozen=True)
class Architecture:
    """A class of transformers with a tiny config; `hub` renames from memory to the Hub's layout."""

    cls: str
    config: dict = field(hash=False)
    hub: tuple = ()
    layout: str = ""

    @property
    def id(self):
        return "-".join(filter(None, (self.config["model_type"], self.layout)))

    @functools.cached_property
    def model_class(self):
        return getattr(transformers, self.cls)

    def build(self):
        """The model with random weights, float32."""
        config = transformers.AutoConfig.for_model(**self.config)
        torch.manual_seed(0)
        model = self.model_class(config).eval()
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.1)
        return model

    def name_on_disk(self, name):
        for pattern, replacement in self.hub:
            name = re.sub(pattern, replacement, name)
        return name


def both(cls, config, hub):
    """The layout that transformers 5 writes, and the Hub's."""
    return (Architecture(cls, config, layout="saved"), Architecture(cls, config, hub, "hub"))


CLIP = Architecture(
    "CLIPModel",
    {
        "model_type": "clip",
        "projection_dim": 16,
        "text_config": TEXT | {"max_position_embeddings": 16},
        "vision_config": VISION,
    },
)
SIGLIP_TEXT = TEXT | {"max_position_embeddings": 16, "projection_size": 32}
LLAMA_MODEL = Architecture("LlamaForCausalLM", LLAMA)
GPT2 = Architecture(
    "GPT2LMHeadModel",
    {
        "model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 64,
        "n_positions": 32, "bos_token_id": 1, "eos_token_id": 2,
    },
)  # fmt: skip
MIXTRAL = Architecture(
    "MixtralForCausalLM", LLAMA | {"model_type": "mixtral", "num_local_experts": 2}
)
T5 = Architecture(
    "T5ForConditionalGeneration",
    {
        "model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 1, "num_heads": 2,
        "vocab_size": 64,
    },
)  # fmt: skip
LLAVA, LLAVA_HUB = both(
    "LlavaForConditionalGeneration",
    {"model_type": "llava", "text_config": LLAMA, "vision_config": CLIP_VISION},
    LLAVA_ON_THE_HUB + NESTED_TOWER,
)
GEMMA3, GEMMA3_HUB = both(
    "Gemma3ForConditionalGeneration",
    {
        "model_type": "gemma3",
        "text_config": GROUPED | {"model_type": "gemma3_text", "head_dim": 16},
        "vision_config": SIGLIP_VISION,
        "mm_tokens_per_image": 4,
    },
    # Tied: the Hub has no head.
    tuple(pair for pair in LLAVA_ON_THE_HUB if "lm_head" not in pair[0]) + NESTED_TOWER,
)

EMBEDDING = (
    CLIP,
    Architecture(
        "SiglipModel",
        {"model_type": "siglip", "text_config": SIGLIP_TEXT, "vision_config": VISION},
    ),
    Architecture(
        "Siglip2Model",
        {
            "model_type": "siglip2",
            "text_config": SIGLIP_TEXT,
            "vision_config": {k: v for k, v in VISION.items() if k != "image_size"}
            | {"num_patches": 4},
        },
    ),
    Architecture("ChineseCLIPModel", CLIP.config | {"model_type": "chinese_clip"}),
)
VLM = (
    GEMMA3,
    GEMMA3_HUB,
    LLAVA,
    LLAVA_HUB,
    *both(
        "Qwen2VLForConditionalGeneration",
        {
            "model_type": "qwen2_vl",
            "text_config": QWEN_TEXT,
            "vision_config": QWEN_VISION | {"embed_dim": 32, "mlp_ratio": 2},
        },
        QWEN2_ON_THE_HUB,
    ),
    *both(
        "Qwen2_5_VLForConditionalGeneration",
        {
            "model_type": "qwen2_5_vl",
            "text_config": QWEN_TEXT,
            "vision_config": QWEN_VISION
            | {"out_hidden_size": 32, "intermediate_size": 48, "fullatt_block_indexes": [1]},
        },
        QWEN2_ON_THE_HUB,
    ),
    Architecture(
        "Qwen3VLForConditionalGeneration",
        {
            "model_type": "qwen3_vl",
            "text_config": QWEN_TEXT | {"head_dim": 16},
            "vision_config": QWEN_VISION
            | {
                "patch_size": 16, "out_hidden_size": 32, "intermediate_size": 48,
                "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
            },
        },
    ),
    *both(
        "LlavaNextForConditionalGeneration",
        LLAVA.config | {"model_type": "llava_next"},
        LLAVA_ON_THE_HUB + NESTED_TOWER,
    ),
    *both(
        "PaliGemmaForConditionalGeneration",
        {
            "model_type": "paligemma",
            "projection_dim": 32,
            "text_config": GROUPED | {"model_type": "gemma", "head_dim": 16},
            "vision_config": SIGLIP_VISION,
        },
        tuple(pair for pair in LLAVA_ON_THE_HUB if "lm_head" not in pair[0]) + NESTED_TOWER,
    ),
    Architecture(
        "SmolVLMForConditionalGeneration",
        {
            "model_type": "smolvlm",
            "text_config": LLAMA,
            "vision_config": VISION | {"model_type": "smolvlm_vision"},
            "scale_factor": 2,
        },
    ),
    Architecture(
        "Idefics3ForConditionalGeneration",
        {
            "model_type": "idefics3",
            "text_config": LLAMA,
            "vision_config": VISION | {"model_type": "idefics3_vision"},
            "scale_factor": 2,
        },
    ),
    *both(
        "InternVLForConditionalGeneration",
        {
            "model_type": "internvl",
            "text_config": GROUPED | {"model_type": "qwen2", "tie_word_embeddings": False},
            "vision_config": VISION
            | {"model_type": "internvl_vision", "image_size": [28, 28], "patch_size": [14, 14]},
            "tie_word_embeddings": False,
        },
        LLAVA_ON_THE_HUB,
    ),
    Architecture(
        "FastVlmForConditionalGeneration",
        {
            "model_type": "fast_vlm",
            "text_config": GROUPED | {"model_type": "qwen2"},
            "vision_config": {
                "model_type": "timm_wrapper",
                "architecture": "fastvit_t8",
                "hidden_size": 32,
                "do_pooling": True,
                "model_args": {
                    "inference_mode": True, "layers": [1, 1, 1, 1], "embed_dims": [8, 8, 16, 16],
                },
            },
        },
    ),
    LLAMA_MODEL,
    # Neither sees; they have layers, ties and conversions that the others lack.
    GPT2,
    MIXTRAL,
    T5,
)  # fmt: skip


def write_base(folder, architecture, dtype, *, shards=1):
    """A checkpoint of the architecture in `folder`, in about `shards` files, with side files."""
    model = architecture.build().to(dtype)
    if architecture.hub:
        model.config.architectures = [architecture.cls]
        model.config.save_pretrained(folder)
        tied = set(model.all_tied_weights_keys)
        state = {
            architecture.name_on_disk(name): tensor.clone().contiguous()
            for name, tensor in model.state_dict().items()
            if name not in tied
        }
        write_shards(folder, state, shards)
    else:
        size = sum(t.nbytes for t in model.state_dict().values())
        model.save_pretrained(folder, max_shard_size=size // shards + 1)
    for name in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_text("{}")
    return folder


def write_shards(folder, state, shards, variant=""):
    """The state in `shards` files with an index, or in one file, named as transformers would."""
    dotted = f".{variant}" if variant else ""
    if shards == 1:
        save_file(state, folder / f"model{dotted}.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for number in range(shards):
        path = f"model{dotted}-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(state.items())[number::shards])
        save_file(part, folder / path, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, path)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"model.safetensors.index{dotted}.json").write_text(json.dumps(index))


def targets(model):
    """Every linear layer and embedding with weights of its own, and the first convolution."""
    tied = {name for pair in model.all_tied_weights_keys.items() for name in pair}
    found, convolution = [], False
    for name, module in model.named_modules():
        # PEFT's LoRA on what nn.MultiheadAttention holds is not used in its forward.
        attention = isinstance(
            model.get_submodule(name.rpartition(".")[0]), torch.nn.MultiheadAttention
        )
        if f"{name}.weight" in tied or attention:
            continue
        if isinstance(module, torch.nn.Linear | Conv1D) or name.endswith("embed_tokens"):
            found.append(name)
        elif isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d) and not convolution:
            convolution = True
            found.append(name)
    return found


def write_adapter(folder, model, names, seed=1):
    """A LoRA made by PEFT on the modules `names` of `model`, with random matrices."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, config)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.2)
        wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder
