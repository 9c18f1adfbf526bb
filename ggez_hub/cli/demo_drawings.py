"""The part of `demo` that draws: the diffusion family's adapter, resolved and measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.evaluation.comparison import Estimate
    from ggez_hub.hub import Hub
    from ggez_hub.registry.resolution import Resolution
    from ggez_hub.world.diffusion.demo import Redrawn


def tell_drawings(region: str, hub: Hub, out: Output) -> dict[str, Any] | None:
    """Draw again what the card of the region's diffusion adapter claims; None where it has none."""
    from ggez_hub.registry.pulling.plan import plan
    from ggez_hub.registry.request import Request
    from ggez_hub.registry.resolving.resolver import NoAdapter

    try:
        resolution = plan(Request(region, family="diffusion"), hub).resolution
    except NoAdapter:
        return None
    out.line("")
    out.line("Drawing emoji and having them judged, each test prompt once:")
    redrawn, beta = _redrawn(resolution, hub, out)
    names = {beta: "merged", 0.0: "base", 1.0: "unmerged adapter"}
    if beta in {0.0, 1.0}:
        names[beta] = f"{names[beta]} = merged"
    out.line("")
    out.table(
        ("beta", "English names", "Thai names", "GRP", "shuffled prompts", ""),
        [
            (f"{row.beta:g}", _shown(row.english), _shown(row.regional), _shown(row.grp),
             _shown(row.control), names[row.beta])
            for row in redrawn.rows
        ],
        title="Drawings that the judge takes for what was asked, in %, 95 % intervals over "
        f"{redrawn.rows[0].english.pictures} prompts a side; GRP above chance, alpha "
        f"{resolution.alpha.value:.3f}",
    )  # fmt: skip
    out.line(
        f"{redrawn.equal} of {redrawn.compared} drawings are judged as the card's evidence records. The base has seen what "
        "the English names mean, and not what the Thai names do: a regional subset, not culture."
    )
    return {
        "beta": beta,
        "seeds": redrawn.seeds,
        "grid": [
            {"beta": row.beta, "global": row.english.value, "regional": row.regional.value,
             "grp": row.grp.value, "shuffled": row.control.value}
            for row in redrawn.rows
        ],
        "evidence": {"answers": redrawn.compared, "equal": redrawn.equal},
    }  # fmt: skip


def _redrawn(resolution: Resolution, hub: Hub, out: Output) -> tuple[Redrawn, float]:
    from ggez_hub.evaluation.recognition.asking import Places
    from ggez_hub.evaluation.recognition.measuring import Folders
    from ggez_hub.families import get_family
    from ggez_hub.registry.pulling.pull import fetch_pinned
    from ggez_hub.world.cards import EVIDENCE
    from ggez_hub.world.diffusion.demo import redraw
    from ggez_hub.world.diffusion.judging import tasks

    (adapter,) = resolution.adapters
    assert adapter.weight is not None  # noqa: S101 - the world's adapters are LoRAs
    asked = tasks()
    judge = asked[0].judge

    def fetched(repo: str, kind: str) -> Any:
        found = hub.at_commit(repo, "main", kind)
        return hub.fetch(found.repo, found.revision, found.files, kind)

    folders = Folders(
        base=fetch_pinned(resolution.merged_into, hub),
        adapter=fetch_pinned(adapter.source, hub),
        data=Places(
            prompts=fetched(asked[0].dataset.repo, "dataset"),
            judge=fetched(judge.model, "model"),
            references=fetched(judge.references.dataset.repo, "dataset"),
        ),
    )
    source = hub.at_commit(adapter.source.repo, adapter.source.revision)
    evidence = [file for file in source.files if file.path == EVIDENCE]
    place = hub.fetch(source.repo, source.revision, evidence) / EVIDENCE
    with out.progress("steps") as progress:
        bar = progress.add_task("drawing", total=None)
        redrawn = redraw(
            folders,
            place,
            get_family("diffusion"),
            asked,
            resolution.alpha.value,
            adapter.weight,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    return redrawn, adapter.weight


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"
