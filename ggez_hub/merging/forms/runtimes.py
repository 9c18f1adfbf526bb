"""Which programs load an adapter form as it is, with what flags, and which do not.

One function for each, from facts about the adapter to an answer. What could not be established
from a program's source or documentation is `unknown`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ggez_hub.families.family import Family, Layout, quoted
from ggez_hub.merging.forms.adapter_facts import AdapterFacts, LoraFact

# Modules of a vision-language model that are not its language model: towers and what joins them.
TOWERS = re.compile(
    r"(?:^|\.)(?:vision\w*|visual|image_\w+|\w*projector|connector|perceiver\w*|aligner)\."
)


# What Markdown takes for more than text.
MARKUP, _ESCAPED = re.compile(r"[\\`*\[\]<>|]"), r"\\\g<0>"


@dataclass(frozen=True)
class Answer:
    """Whether a program loads the adapter, why (not), and the lines that do it.

    `flag` is a yes that needs more than the program's usual lines, which `reason` names.
    """

    status: Literal["yes", "flag", "no", "unknown"]
    reason: str = ""
    lines: tuple[str, ...] = ()


def peft_answer(facts: AdapterFacts) -> Answer:
    """transformers, open_clip or diffusers models with PEFT: PeftModel.from_pretrained.

    https://huggingface.co/docs/peft/package_reference/peft_model
    """
    model = f"model = PeftModel.from_pretrained(base_model, {quoted(facts.folder)})"
    pinned = f" at {facts.revision[:12]}" if facts.revision else ""
    named = "" if facts.base_lines else f"  # base_model: {facts.base}{pinned}"
    lines = *facts.base_lines, "from peft import PeftModel", f"{model}{named}"
    return _refusal(
        {"PEFT reads folders with an adapter_config.json: take --as peft": facts.form != "peft"}
    ) or Answer("yes", "", lines)


def diffusers_answer(facts: AdapterFacts) -> Answer:
    """diffusers: `load_lora_weights` of the pipeline (loaders/lora_pipeline.py of 0.42.1)."""
    return _refusal(
        {
            "diffusers loads adapters of its pipelines only": facts.generates != "pictures",
            "pipelines read no PEFT folder: take --as diffusers": facts.form == "peft",
            f"these pipelines load plain LoRA, this file holds {facts.method}": (
                facts.method != "LORA"
            ),
        }
    ) or Answer("yes", "", _pipeline_lines(facts))


def hotswap_answer(facts: AdapterFacts) -> Answer:
    """diffusers: one LoRA in the place of another, without compiling again.

    https://huggingface.co/docs/diffusers/tutorials/using_peft_for_inference: `target_rank` is the
    highest rank of all adapters; text encoders cannot be swapped (`_load_lora_into_text_encoder`
    raises); each later adapter may only target what the first one does.
    """
    encoders = [m for m in facts.modules() if m.startswith(("text_encoder", "lora_te"))]
    *first, last = _pipeline_lines(facts)
    load = diffusers_answer(facts)
    if load.status != "yes":
        return load
    return _refusal({"hot-swapping of text encoders is not supported": sorted(encoders)}) or Answer(
        "flag",
        f"enable_lora_hotswap(target_rank={facts.max_rank} or more) before the first adapter",
        (
            *first,
            f"pipeline.enable_lora_hotswap(target_rank={facts.max_rank})",
            last.removesuffix(")") + ', adapter_name="region")',
            "# later, in its place: pipeline.load_lora_weights(..., hotswap=True, "
            'adapter_name="region")',
        ),
    )


def _pipeline_lines(facts: AdapterFacts) -> tuple[str, ...]:
    pinned = f', revision="{facts.revision}"' if facts.revision else ""
    return (
        "from diffusers import DiffusionPipeline",
        f"pipeline = DiffusionPipeline.from_pretrained({quoted(facts.base)}{pinned})",
        f'pipeline.load_lora_weights({quoted(facts.folder)}, weight_name="{facts.file}")',
    )


# vllm/config/lora.py: MaxLoRARanks, of which 16 is the default.
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def vllm_answer(facts: AdapterFacts) -> Answer:
    """vLLM multi-LoRA: `--enable-lora`.

    vllm/lora/peft_helper.py: modules_to_save and bias have to be absent, DoRA is refused, rsLoRA is
    read; the scale comes from `r` and `lora_alpha` alone. vllm/lora/lora_model.py: keys are lora_A
    and lora_B of linear layers. vllm/config/lora.py: `max_lora_rank` is 16 and goes to 512;
    `enable_tower_connector_lora` is experimental, for "some MM models such as the Qwen VL series".
    """
    if facts.config.get("target_parameters"):
        return Answer("unknown", "whether vLLM adapts these parameters (target_parameters)")
    if facts.form == "peft" and facts.generates != "text":
        return Answer("unknown", f"whether vLLM adapts a base of the family {facts.family}")
    refusal = _refusal(
        {
            "vLLM reads PEFT folders": facts.form != "peft",
            f"vLLM loads LoRA only, this is {facts.method}": facts.method != "LORA",
            "vLLM takes no modules_to_save or bias": facts.whole,
            "vLLM takes no biases of LoRA layers (lora_bias)": facts.lora_bias,
            "vLLM adapts no convolutions": facts.modules(lambda lora: lora.convolution),
        }
    )
    if refusal is not None:
        return refusal
    rank, alpha = facts.config["r"], facts.config["lora_alpha"]
    common = alpha / (math.sqrt(rank) if facts.config.get("use_rslora") else rank)
    if other := facts.modules(lambda lora: not math.isclose(lora.scale, common)):
        return Answer("no", f"vLLM ignores alpha_pattern and rank_pattern, as for {other[0]}")
    if facts.tokens or any(lora.embedding for lora in facts.loras):
        return Answer("unknown", "adapted embeddings depend on vLLM's version and the model")
    if facts.max_rank > VLLM_RANKS[-1]:
        return Answer("no", f"vLLM takes ranks up to {VLLM_RANKS[-1]}, this has {facts.max_rank}")
    flags, why = [], []
    if facts.max_rank > 16:
        flags.append(f"--max-lora-rank {min(r for r in VLLM_RANKS if r >= facts.max_rank)}")
        why.append(flags[-1])
    if towers := facts.modules(_is_outside_language_model):
        flags.append("--enable-tower-connector-lora")
        why.append(
            f"{flags[-1]}, experimental, for the Qwen-VL series and some others ({towers[0]})"
        )
    revision = [f"--revision {facts.revision}"] if facts.revision else []
    serve = [f"vllm serve {shlex.quote(facts.base)}", *revision, "--enable-lora", *flags]
    line = " ".join([*serve, "--lora-modules", shlex.quote(f"region={facts.folder}")])
    return Answer("flag" if flags else "yes", "; ".join(why), (line,))


def comfyui_answer(facts: AdapterFacts) -> Answer:
    """ComfyUI: the node LoraLoader.

    comfy/lora.py and comfy/weight_adapter/ (lora, loha, lokr, glora; `diff` and `diff_b`): each module's
    own `.alpha` is read, metadata is not; of PEFT's names those of transformers (SD3, Flux) are
    known, a UNet's attention modules only by the names of kohya and of diffusers' first scripts; of
    other transformers it knows the names of their first repository.
    """
    unet = [m for m in facts.modules() if m.startswith("unet.") and ".to_" in m]
    refusal = _refusal(
        {
            "ComfyUI loads LoRA files of diffusion models": facts.generates != "pictures",
            "ComfyUI reads no adapter_config.json: take --as kohya": facts.form == "peft",
            "ComfyUI knows no IA3": "IA3" in facts.method,
            f"ComfyUI does not know the name {unet[0] if unet else ''}: take --as kohya": bool(
                facts.form != "kohya" and unet
            ),
        }
    )
    if refusal is not None:
        return refusal
    # A UNet has no transformer; of a kohya file the names are kohya's own.
    foreign = [] if facts.form == "kohya" else facts.modules(_is_of_another_transformer)
    if foreign:
        return Answer(
            "unknown", f"whether ComfyUI knows {foreign[0]} by the name that diffusers gives it"
        )
    put = f"copy {facts.folder}/{facts.file} to ComfyUI/models/loras and load it with LoraLoader"
    # Of kohya's files each module's scale is read.
    read = facts.form == "kohya"
    scales = [1.0] if read else sorted({float(f"{lora.scale:.9g}") for lora in facts.loras})
    if len(scales) > 1:
        return Answer("no", "ComfyUI does not read the scales, which differ between modules")
    if scales == [1.0]:
        return Answer("yes", "", (f"{put}, both strengths 1",))
    return Answer(
        "flag",
        f"both strengths {scales[0]:g}: ComfyUI does not read the scales in the metadata",
        (f"{put}, both strengths {scales[0]:g}",),
    )


def llama_cpp_answer(facts: AdapterFacts) -> Answer:
    """llama.cpp: convert_lora_to_gguf.py, then `--lora`.

    The script takes lora_A and lora_B of the language model and stops at other keys; of the scale it
    keeps `lora_alpha`. src/llama-adapter.h: the scale is alpha / rank, and 1 if alpha is 0.
    """
    other = [*facts.whole, *["lora_bias"] * facts.lora_bias, *["token rows"] * facts.tokens]
    outside = facts.modules(lambda lora: lora.convolution or _is_outside_language_model(lora))
    refusal = _refusal(
        {
            "convert_lora_to_gguf.py reads PEFT folders": facts.form != "peft",
            "llama.cpp adapts language models": facts.generates != "text",
            f"convert_lora_to_gguf.py reads LoRA only, this is {facts.method}": (
                facts.method != "LORA"
            ),
            "convert_lora_to_gguf.py takes nothing but LoRA matrices": other,
            "llama.cpp adapts the language model only, not " + "".join(outside[:1]): bool(outside),
        }
    )
    if refusal is not None:
        return refusal
    if facts.config.get("target_parameters"):
        return Answer("unknown", "what the converter makes of PEFT's target_parameters")
    if any(lora.embedding for lora in facts.loras):
        return Answer("unknown", "what the converter makes of PEFT's LoRA on an embedding")
    alpha = facts.config["lora_alpha"]
    if alpha == 0:
        return Answer("no", "beta is 0, and llama.cpp takes an alpha of 0 for a scale of 1")
    factors = {float(f"{lora.scale * lora.rank / alpha:.6g}") for lora in facts.loras}
    if len(factors) > 1:
        return Answer("no", "llama.cpp has one alpha for all modules, here their alphas differ")
    convert = f"python convert_lora_to_gguf.py --outfile region.gguf {shlex.quote(facts.folder)}"
    note = "if convert_hf_to_gguf.py knows the base's architecture"
    (factor,) = factors
    if factor == 1.0:
        return Answer("yes", note, (convert, "llama-cli -m BASE.gguf --lora region.gguf"))
    scaled = f"--lora-scaled region.gguf:{factor:g}"
    return Answer(
        "flag",
        f"{scaled}: the converter does not read use_rslora; {note}",
        (convert, f"llama-cli -m BASE.gguf {scaled}"),
    )


def _refusal(reasons: Mapping[str, bool | Sequence[str]]) -> Answer | None:
    """No, for the first reason that is given; the first module that gives it is named."""
    for reason, given in reasons.items():
        if given:
            return Answer("no", reason if isinstance(given, bool) else f"{reason}: {given[0]}")
    return None


# Names of diffusers for other transformers than SD3's, Flux's and Qwen-Image's: Wan, Z-Image, Sana...
OTHERS = re.compile(r"^transformer\.(?:blocks\.|layers\.|\w+_blocks\.\d+\.attn\d)")


def _is_of_another_transformer(lora: LoraFact) -> bool:
    return OTHERS.match(lora.module) is not None


def _is_outside_language_model(lora: LoraFact) -> bool:
    return TOWERS.search(f"{lora.module}.") is not None


RUNTIMES: dict[str, Callable[[AdapterFacts], Answer]] = {
    "PEFT": peft_answer,
    "diffusers": diffusers_answer,
    "diffusers hot-swap": hotswap_answer,
    "vLLM": vllm_answer,
    "ComfyUI": comfyui_answer,
    "llama.cpp": llama_cpp_answer,
}


def answers(facts: AdapterFacts) -> dict[str, Answer]:
    """What each program makes of the adapter, by its name."""
    return {name: answer(facts) for name, answer in RUNTIMES.items()}


def shown_status(answer: Answer) -> str:
    """The answer in a word or two."""
    return "flag needed" if answer.status == "flag" else answer.status


def loading_lines(facts: AdapterFacts) -> tuple[str, ...]:
    """The Python that loads the adapter in its own library."""
    return next((a.lines for a in answers(facts).values() if a.status == "yes"), ())


def base_lines(
    family: Family, layout: Layout, base: str, revision: str = "", note: str = ""
) -> tuple[str, ...]:
    """Python that defines `base_model`, from the folder `base` or, with a revision, the repository.

    `layout` is that of its files. Empty for what is not one model, as a pipeline.
    """
    opened = family.loading_lines(layout, "{base}")
    if not any(line.startswith("model") for line in opened):
        return ()
    place: tuple[str, ...] = (f"base = {quoted(base)}{note}",)
    if revision:
        fetch = f'base = snapshot_download({quoted(base)}, revision="{revision}"){note}'
        place = "from huggingface_hub import snapshot_download", fetch
    lines = (
        line.replace('"{base}"', "base").replace('"local-dir:{base}"', 'f"local-dir:{base}"')
        for line in opened
    )
    return *place, *(f"base_{line}" if line.startswith("model") else line for line in lines)


def loading_call(lines: Sequence[str]) -> str:
    """The line that loads the model or the adapter, of all that load it."""
    calls = [line for line in lines if line.startswith(("model", "pipeline", "with "))]
    return calls[-1].partition("  #")[0] if calls else ""


def as_list(facts: AdapterFacts) -> list[dict[str, Any]]:
    """All answers as JSON: runtime, status, reason, lines."""
    return [
        {"runtime": name, **asdict(answer), "lines": list(answer.lines)}
        for name, answer in answers(facts).items()
    ]


def as_markdown(facts: AdapterFacts) -> str:
    """All answers as a table, and below it the lines of those that need other lines."""
    found = answers(facts)
    # A reason may name a module, as a stranger called it.
    rows = [
        f"| {name} | {shown_status(a)} | {re.sub(MARKUP, _ESCAPED, a.reason)} |"
        for name, a in found.items()
    ]
    table = "\n".join(["| program | loads it | |", "|---|---|---|", *rows])
    loading = loading_lines(facts)
    others = [
        line
        for name, answer in found.items()
        if answer.lines and answer.lines != loading
        for line in (f"# {name}", *answer.lines)
    ]
    return table + ("\n\n```\n" + "\n".join(others) + "\n```" if others else "")
