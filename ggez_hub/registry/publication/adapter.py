"""An adapter's folder with its card to a repository that the resolver takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ggez_hub.cards import BadCard, CardDocument, parse_card, read_card, render_card
from ggez_hub.cards.hub_metadata import AS_IS, claimed_scores, model_index, with_hub_keys
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.datasets import known_datasets
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import Content, head_of, require_token
from ggez_hub.hub.repository_files import LocalRepo
from ggez_hub.merging.side_files import WEIGHT_SUFFIXES
from ggez_hub.parity.beta_choice import choose_for
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.bill_of_materials.bill import BILL_FILE, bill_text, card_bill
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.file_checks import NotFit, is_side_file, vet_adapter, vet_base
from ggez_hub.registry.licences import reviewed
from ggez_hub.registry.publication.result import Published, deliver, score_files
from ggez_hub.registry.trust.signing import SigningKey
from ggez_hub.safetensors_header import read_header

# What goes with an adapter although its card records no digest of it.
BESIDE = (
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    *(f"evidence/*.{e}" for e in ("parquet", "png", "svg")),
)


@dataclass(frozen=True)
class Parcel:
    """What is published: the card, and files by path; `left_out` are other files of the folder."""

    document: CardDocument
    files: Mapping[str, Path]
    left_out: tuple[str, ...] = ()


def read_parcel(folder: Path, include: Sequence[str] = ()) -> Parcel:
    """What of a folder is published: what its card records, and what goes with it.

    `include` are patterns of further paths. Raises BadCard, NotFit for a file that cannot be
    published, and UsageProblem for a pattern that fits none.
    """
    if not (folder / CARD_NAME).exists():
        raise NotFit(
            f"{folder} has no card: {CARD_NAME}",
            "`ggez-hub card init FOLDER --region REGION --base BASE` writes one.",
        )
    document = read_card(folder / CARD_NAME)
    recorded = document.card.files
    if recorded == UNKNOWN:
        raise NotFit(
            f"{folder} records no files", "`ggez-hub card init --force` records them with sha256."
        )
    is_model = get_kind(document.card.kind).is_model
    files, left_out = _split(folder, recorded, (*BESIDE, *include), is_model)
    for pattern in include:
        if not any(fnmatchcase(path, pattern) for path in files):
            raise UsageProblem(
                f"no file of {folder} fits --include {pattern!r}",
                "A pattern has to fit the path below the folder, as evidence/*.",
            )
    return Parcel(document, files, tuple(left_out))


def beside(folder: Path) -> dict[str, Path]:
    """What goes with an adapter of a folder although its card records no digest of it.

    Raises NotFit for a link to another place.
    """
    return _split(folder, (), BESIDE, is_model=False)[0]


def _split(
    folder: Path, recorded: Collection[str], patterns: Sequence[str], is_model: bool
) -> tuple[dict[str, Path], list[str]]:
    """The files of a folder that are published, and the paths of the others but for the card.

    They are those that are `recorded`, and of those that are not hidden the ones that fit a pattern
    or belong to a model.
    """
    files, left_out = {}, []
    for place in sorted(folder.rglob("*")):
        path = place.relative_to(folder).as_posix()
        if path == CARD_NAME or not place.is_file():
            continue
        hidden = any(part.startswith(".") for part in path.split("/"))
        fits = any(fnmatchcase(path, pattern) for pattern in patterns)
        if path not in recorded and (hidden or not (fits or (is_model and is_side_file(path)))):
            left_out.append(path)
        elif place.resolve().is_relative_to(folder.resolve()):
            files[path] = place
        else:
            raise NotFit(
                f"{place} is a link to a file outside {folder}", "Put the file itself there."
            )
    return files, left_out


def check_parcel(parcel: Parcel, hub: Hub, repo: str) -> None:
    """Everything that the resolver will check, before anything is sent.

    Raises NotFit or BadWeights with the reason, and what the client raises.
    """
    card = parcel.document.card
    if parcel.document.license == UNKNOWN:
        raise NotFit(f"{repo} would have no known licence", "Add `license:` to the card.")
    reviewed(parcel.document.license, repo)
    for path, place in parcel.files.items():
        if place.suffix.lower() in WEIGHT_SUFFIXES - {".safetensors"}:
            raise NotFit(f"{path} is not a safetensors file", "Convert it where you trust it.")
        if place.suffix == ".safetensors":
            read_header(place)
    local = LocalRepo(repo, parcel.files)
    try:
        vet_adapter(local.listing(), card, local)
        vet_base(hub.at_commit(card.base.repo, card.base.revision), card, hub)
    except NotFit as problem:
        raise NotFit(
            f"{repo} would not be taken by `pull`: it {problem.message}",
            problem.hint or "`ggez-hub card init --force` records files and base anew.",
        ) from problem


def publish(
    parcel: Parcel,
    hub: Hub,
    repo: str,
    *,
    private: bool = False,
    pr: bool = False,
    by: SigningKey | None = None,
) -> Published:
    """Check and publish, as `deliver` does.

    Files that the card in the repository records and this one does not are removed. Raises as
    `check_parcel`, NoToken, CommitRefused, and what the client raises.
    """
    require_token(hub)
    document, scores = _scored(parcel.document, repo)
    check_parcel(parcel, hub, repo)
    return deliver(
        hub,
        repo,
        {
            **scores,
            **parcel.files,
            BILL_FILE: bill_text(card_bill(document, repo, hub.endpoint)).encode(),
            CARD_NAME: render_card(document).encode(),
        },
        f"Publish the {document.card.region} adapter for {document.card.base.repo}",
        f"{document.card.summary.get('en', '')}\n\nBy `ggez-hub publish`.".strip(),
        private=private,
        pr=pr,
        outdated=lambda: _outdated(hub, repo, parcel),
        by=by,
    )


def _scored(document: CardDocument, repo: str) -> tuple[CardDocument, dict[str, Content]]:
    """The card with the Hub's keys and its scores, and the files of `score_files`; raises BadCard.

    The scores are those of the test side at beta 1, which is what a library makes of the files; the
    picture shows the whole curve, with the beta that is chosen.
    """
    card = document.card
    try:
        front = with_hub_keys(card, document.front_matter)
    except ValueError as error:
        raise BadCard(str(error)) from error
    document = replace(document, front_matter=front)
    if card.curve == UNKNOWN or not (rows := claimed_scores(card.curve, AS_IS)):
        return document, {}
    name = repo.partition("/")[2]
    index = model_index(name, rows, front.get("pipeline_tag"), known_datasets(rows))
    try:
        beta = choose_for(card).beta
    except NoCurve:
        beta = None
    files = score_files(
        rows, f"ggez-hub, beta {AS_IS}", card.measured, card.alpha.value, card.region, beta
    )
    return replace(document, front_matter={**front, "model-index": index}), files


def _outdated(hub: Hub, repo: str, parcel: Parcel) -> list[str]:
    """Files that the card in the repository records and this one does not.

    Raises NotFit if the repository has weights of other formats, which loaders may take.
    """
    head = head_of(hub, repo)
    other = WEIGHT_SUFFIXES - {".safetensors"}
    if foreign := [f.path for f in head.files if f.path.endswith(tuple(other))]:
        raise NotFit(
            f"{repo} holds {', '.join(foreign[:3])}, which loaders may take instead",
            f"Remove them first: hf repos delete-files {repo} {' '.join(foreign[:3])}",
        )
    if head.file(CARD_NAME) is None:
        return []
    try:
        before = parse_card(hub.read_text(repo, head.revision, CARD_NAME)).card.files
    except BadCard:
        return []
    return [] if before == UNKNOWN else [path for path in before if path not in parcel.files]
