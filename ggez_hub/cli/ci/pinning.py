"""`ci pin`: from `main` to commits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.ci.run import clone_option
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from ggez_hub.automation.pin import Loose


@click.command("pin")
@click.argument(
    "files",
    metavar="[FILE]...",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@clone_option
@click.option("--check", "only_check", is_flag=True, help="List what is not pinned; write nothing.")
@hub_option
@output_options
def pin_command(
    files: tuple[Path, ...], repository: Path, only_check: bool, hub: str, out: Output
) -> None:
    """Turn `main` into the commit that it is now, in cards and recipes.

    All accepted cards and recipes of the clone if no file is named, and the image of its jobs: the
    tag gets the digest that its registry says. Comments and form stay. A file one of whose
    repositories cannot be asked stays as it was; --check ends with 1 if anything is not pinned.
    """
    from ggez_hub.automation.budget import PLACE
    from ggez_hub.automation.image import loose_image, pin_image
    from ggez_hub.automation.pin import NotPinned, Pinner, loose_places, pinnable
    from ggez_hub.hubs import connect

    places = list(files) or pinnable(repository)
    budget = None if files or not (repository / PLACE).is_file() else repository / PLACE
    if only_check:
        found = [loose for file in places for loose in loose_places(file)]
        for loose in found:
            out.line(f"{loose.file} line {loose.line}: {loose.repo} at main")
        image = loose_image(budget) if budget is not None else None
        if image is not None:
            out.line(f"{budget}: the image {image} by its tag")
        out.document({"unpinned": [_as_dict(loose) for loose in found], "image": image})
        if image is not None and not found:
            raise GgezError(f"the image {image} is not pinned", "`ggez-hub ci pin` does it.")
        if found:
            raise GgezError(
                f"{len(found)} repositories are not pinned in {len({f.file for f in found})} files",
                "`ggez-hub ci pin` writes their commits.",
            )
        return
    pinned: list[Loose] = []
    refused = []
    with connect(hub, quiet=True) as server:
        pinner = Pinner(server)
        for file in places:
            try:
                changed = pinner.pin(file)
            except NotPinned as problem:
                refused.append(problem.message)
                continue
            for loose in changed:
                out.line(f"{file} line {loose.line}: {loose.repo}@{pinner.commit(loose)}")
            pinned += changed
    image = None
    if budget is not None:
        try:
            if image := pin_image(budget):
                out.line(f"{budget}: {image}")
        except NotPinned as problem:
            refused.append(problem.message)
    out.document(
        {"pinned": [_as_dict(loose) for loose in pinned], "image": image, "refused": refused}
    )
    if refused:
        raise GgezError(
            "these files stay as they were:\n  " + "\n  ".join(refused),
            "Of a gated repository ask for access on its page, and set HF_TOKEN.",
        )


def _as_dict(loose: Loose) -> dict[str, object]:
    return {"file": str(loose.file), "line": loose.line, "repo": loose.repo}
