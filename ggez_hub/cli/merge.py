"""`merge`: local folders in, a merged model out, or an adapter with beta folded in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.merge_inputs import MergeInputs, of_options, of_recipe
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import (
    ADAPTER,
    BETA,
    FILE,
    FOLDER,
    as_option,
    betas_option,
    out_dtype_option,
    out_option,
)
from ggez_hub.cli.resolution import print_runtimes
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import without_collections
from ggez_hub.families import Family, detect_family, get_family
from ggez_hub.progress import task
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.methods import Method
    from ggez_hub.merging.similarity import Cosine
    from ggez_hub.registry.local_merge.merge import FolderMerge

DEFAULT_METHOD = "ggez_linear"


@click.command("merge")
@click.option("--base", type=FOLDER, help="The folder of the base.")
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    type=ADAPTER,
    help="A PEFT folder, a LoRA file of a diffusion pipeline, a full fine-tune, or a task vector; "
    "DIR:NAME of several PEFT adapters in a folder; may be given several times.",
)
@click.option(
    "--beta",
    "betas",
    multiple=True,
    type=BETA,
    help="How much of the adapter is added: one for each --adapter, or one for all.",
)
@betas_option
@click.option(
    "--recipe",
    type=FILE,
    help="YAML with `kind: merge` in place of these options; it may name repositories of a hub.",
)
@click.option(
    "--method",
    help="task_arithmetic; ties: the signs of several adapters vote, element by element; 'ties(0.2)': of "
    "the largest fifth of each Delta; 'dare(0.5, 7)': half of each at random, by the seed 7.  "
    f"[default: {DEFAULT_METHOD}]",
)
@as_option()
@click.option("--family", help="Found by the layout of the folder if left out.")
@click.option(
    "--variant",
    help="Of several sets of weights in the base, as fp16 beside full ones: the one to merge.  "
    "[default: the one that is loaded without a variant]",
)
@out_dtype_option
@click.option(
    "--device",
    default="cpu",
    metavar="cpu|cuda|auto",
    show_default=True,
    help="What computes; the bytes are the same. auto: cuda where there is one.",
)
@out_option()
@hub_option
@output_options
def merge_command(
    base: Path | None,
    adapters: tuple[Path, ...],
    betas: tuple[float, ...],
    parts: tuple[Path, ...],
    recipe: Path | None,
    method: str | None,
    form: str,
    family: str | None,
    variant: str | None,
    out_dtype: str | None,
    device: str,
    target: Path,
    hub: str,
    out: Output,
) -> None:
    """Merge local folders: a base and its adapters.

    The result is theta_global + sum(beta * Delta), written with the base's files and dtypes, with a
    card and a lock file. `--hub` is where a recipe's repositories come from.
    """
    options = {
        "--base": base,
        "--adapter": adapters,
        "--beta": betas,
        "--method": method,
        "--family": family,
        "--variant": variant,
        "--betas": parts,
        "--out-dtype": out_dtype,
    }
    inputs: AbstractContextManager[MergeInputs]
    if recipe is not None:
        if given := [name for name, value in options.items() if value]:
            raise UsageProblem(
                f"{', '.join(given)} and --recipe define the same", "Give one of them."
            )
        inputs = of_recipe(recipe, hub, form, quiet=out.quiet)
    else:
        if base is None or not adapters or not betas:
            missing = [name for name in ("--base", "--adapter", "--beta") if not options[name]]
            raise UsageProblem(f"{', '.join(missing)} is missing", "Or give a --recipe.")
        inputs = nullcontext(
            of_options(
                base, adapters, betas, method or DEFAULT_METHOD, family, variant, parts, out_dtype
            )
        )
    with inputs as found:
        _merge(found, form, device, target, out)


def _merge(inputs: MergeInputs, form: str, device: str, target: Path, out: Output) -> None:
    from ggez_hub.merging.forms import require_one, write_adapter
    from ggez_hub.merging.methods import Method

    method = Method.parse(inputs.method)
    base, variant = inputs.base.path, inputs.variant
    family = get_family(inputs.family) if inputs.family else detect_family(base, variant)
    if form != "merged":
        from ggez_hub.registry.local_merge.merge import weigh

        require_one(form, len(inputs.adapters))
        for option, given in (("--out-dtype", inputs.out_dtype), ("--device", device != "cpu")):
            if given:
                raise UsageProblem(
                    f"--as {form} stores nothing of the base: {option} has no meaning",
                    "Leave it out.",
                )
        method.require_foldable(form)
        weighted, _ = weigh(base, inputs.adapters, family, variant)
        named = (inputs.base.repo or str(base), inputs.base.revision)
        facts = write_adapter(base, weighted, target, family, form, variant, named)
        out.line(f"{facts.folder}/{facts.file}: beta is folded into its scales")
        runtimes = print_runtimes(facts, out)
        out.document(
            {
                "out": facts.folder,
                "family": facts.family,
                "form": facts.form,
                "file": facts.file,
                "runtimes": runtimes,
            }
        )
        return
    with without_collections():
        from ggez_hub.merging.similarity import cosines
        from ggez_hub.registry.local_merge.merge import merge_folders

    computes = None if device == "cpu" else _device(device, method)
    paths = [adapter.source.path for adapter in inputs.adapters]
    # A single adapter has nothing to be compared with: it is not read twice.
    alike = cosines(base, paths, family, variant, inputs.out_dtype) if len(paths) > 1 else ()
    with task("merging", unit="bytes") as merging:
        done = merge_folders(
            inputs.base,
            inputs.adapters,
            target,
            family,
            str(method),
            variant,
            wrote=merging.advance,
            out_dtype=inputs.out_dtype,
            device=computes,
        )
    _print_merge(done, alike, [a.source.given for a in inputs.adapters], family, target, out)


def _device(named: str, method: Method) -> torch.device | None:
    from ggez_hub.merging.devices import merge_device
    from ggez_hub.merging.merge import require_engine

    require_engine()
    return merge_device(named, method)


def _print_merge(
    done: FolderMerge,
    alike: Sequence[Cosine],
    names: Sequence[str],
    family: Family,
    target: Path,
    out: Output,
) -> None:
    report, merge = done.report, done.lock.merge
    for remark in done.remarks:
        out.note(f"note: {remark}")
    for adapter in merge.adapters:
        for line in adapter.parts.lines() if adapter.parts else ():
            out.line(f"betas of {adapter.name} by part: {line}")
    out.line(
        f"{target}: {counted(report.tensors, 'tensor')}, {report.touched} of them changed, "
        f"{report.nbytes / 1e6:.1f} MB"
    )
    for pair in alike:
        value = "undefined: one is zero" if pair.value is None else f"{pair.value:+.4f}"
        out.line(
            f"cos(Delta_{pair.first + 1}, Delta_{pair.second + 1}) = {value}  "
            f"({names[pair.first]}, {names[pair.second]})"
        )
    out.line("\n".join(("", *family.loading_lines(family.layout(target), str(target)))))
    out.document(
        {
            "out": str(target),
            "family": family.name,
            "tensors": report.tensors,
            "touched": report.touched,
            "bytes": report.nbytes,
            "method": merge.method,
            "merge_digest": merge.digest,
            "betas": [
                {"beta": a.beta, "by_tensor": a.parts.betas if a.parts else None}
                for a in merge.adapters
            ],
            "lock": str(target / "ggez.lock"),
            "remarks": list(done.remarks),
            "cosines": [
                {"adapters": [names[pair.first], names[pair.second]], "cos": pair.value}
                for pair in alike
            ],
        }
    )
