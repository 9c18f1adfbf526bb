"""`merge`: local folders in, a merged model out."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.loading import tell_adapter
from ggez_hub.cli.output import Output, output_options
from ggez_hub.errors import UsageProblem


@click.command("merge", short_help="Merge local folders: a base and its adapters.")
@click.option(
    "--base", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--adapter",
    "adapters",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A PEFT folder, a LoRA file of a diffusion pipeline, a full fine-tune, or a task vector; "
    "may be given several times.",
)
@click.option(
    "--beta",
    "betas",
    required=True,
    multiple=True,
    type=click.FloatRange(min=0),
    help="The weight of the adapter: one for each, or one for all.",
)
@click.option(
    "--method",
    default="ggez_linear",
    show_default=True,
    help="Or task_arithmetic, or ties: the signs of several adapters vote, element by element.",
)
@click.option(
    "--as",
    "form",
    default="merged",
    show_default=True,
    metavar="merged|peft|diffusers|kohya",
    help="A merged model, or the adapter with beta folded in.",
)
@click.option("--family", default=None, help="Found by the layout of the folder if left out.")
@click.option(
    "--variant",
    default=None,
    help="Of several sets of weights in the base, as fp16 beside full ones: the one to merge.  "
    "[default: the one that is loaded without a variant]",
)
@click.option("-o", "--out", "target", required=True, type=click.Path(path_type=Path))
@output_options
def merge_command(
    base: Path,
    adapters: tuple[Path, ...],
    betas: tuple[float, ...],
    method: str,
    form: str,
    family: str | None,
    variant: str | None,
    target: Path,
    out: Output,
) -> None:
    """Merge local folders: a base and its adapters.

    The result is theta_global + sum(beta * Delta), written with the base's files and dtypes.
    """
    from ggez_hub.families import detect_family, get_family
    from ggez_hub.merging import Adapter, merge
    from ggez_hub.merging.forms.local import write_adapter
    from ggez_hub.merging.merge import require_method
    from ggez_hub.merging.similarity import cosines

    if len(betas) == 1:
        betas *= len(adapters)
    if len(betas) != len(adapters):
        raise UsageProblem(
            f"{len(adapters)} adapters and {len(betas)} betas",
            "Give one --beta for each --adapter, or one for all.",
        )
    require_method(method)
    chosen = get_family(family) if family else detect_family(base, variant)
    if form != "merged":
        weighted = [Adapter(folder, beta) for folder, beta in zip(adapters, betas, strict=True)]
        tell_adapter(write_adapter(base, weighted, target, chosen, form, variant), out)
        return
    # A single adapter has nothing to be compared with: it is not read twice.
    alike = cosines(base, adapters, chosen, variant) if len(adapters) > 1 else ()
    with out.progress() as progress:
        task = progress.add_task("merging", total=None)
        report = merge(
            base,
            [Adapter(folder, beta) for folder, beta in zip(adapters, betas, strict=True)],
            target,
            chosen,
            method,
            wrote=lambda nbytes: progress.advance(task, nbytes),
            variant=variant,
        )
    out.line(
        f"{target}: {report.tensors} tensors, {report.touched} of them changed, "
        f"{report.nbytes / 1e6:.1f} MB"
    )
    for pair in alike:
        value = "undefined: one is zero" if pair.value is None else f"{pair.value:+.4f}"
        out.line(
            f"cos(Delta_{pair.first + 1}, Delta_{pair.second + 1}) = {value}  "
            f"({adapters[pair.first]}, {adapters[pair.second]})"
        )
    out.line("\n".join(("", *chosen.loading_lines(chosen.layout(target), str(target)))))
    out.document(
        {
            "out": str(target),
            "family": chosen.name,
            "tensors": report.tensors,
            "touched": report.touched,
            "bytes": report.nbytes,
            "method": method,
            "cosines": [
                {
                    "adapters": [str(adapters[pair.first]), str(adapters[pair.second])],
                    "cos": pair.value,
                }
                for pair in alike
            ],
        }
    )
