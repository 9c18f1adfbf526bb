"""From a folder with a card to a repository that the resolver takes, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ggez_hub.cards import AdapterCard, BadCard, CardDocument, parse_card, read_card, render_card
from ggez_hub.cards.hub_metadata import AS_IS, claimed_scores, model_index, with_hub_keys
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmarks.benchmark import known_datasets
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import Content, commit, ensure_repo, head_of, require_token, tag_version
from ggez_hub.hub.listing import LocalRepo
from ggez_hub.hub.pull_requests import Proposal, propose
from ggez_hub.merging.side_files import WEIGHT_SUFFIXES
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.choice import choose_for
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.file_checks import NotFit, is_side_file, vet_adapter, vet_base
from ggez_hub.registry.licences import reviewed
from ggez_hub.registry.publication.result import entries, picture
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
    """What is published: the card, and files by their paths in the repository.

    `left_out` are files of the folder that are not.
    """

    document: CardDocument
    files: Mapping[str, Path]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """A publication: where, and what was new; `proposal` where it was a pull request."""

    repo: str
    revision: str
    changed: tuple[str, ...]
    tag: str | None = None
    proposal: Proposal | None = None


def read_parcel(folder: Path, include: Sequence[str] = ()) -> Parcel:
    """What of a folder is published: what its card records, and what goes with it.

    `include` are patterns of further paths. Raises BadCard, NotFit for a file that cannot be
    published, and UsageProblem for a pattern that fits none.
    """
    document = read_card(folder / CARD_NAME)
    card = document.card
    if card.files == UNKNOWN:
        raise NotFit(
            f"{folder} records no files", "`ggez-hub card init --force` records them with sha256."
        )
    whole = get_kind(card.kind).whole
    patterns = (*BESIDE, *include)
    files, left_out = {}, []
    for path, place in _files(folder):
        hidden = _is_hidden(path)
        asked = any(fnmatchcase(path, pattern) for pattern in patterns)
        if (
            path in card.files
            or (asked and not hidden)
            or (whole and not hidden and is_side_file(path))
        ):
            _refuse_link(folder, place)
            files[path] = place
        else:
            left_out.append(path)
    for pattern in include:
        if not any(fnmatchcase(path, pattern) for path in files):
            raise UsageProblem(
                f"no file of {folder} fits --include {pattern!r}",
                "A pattern is of whole paths below the folder, as evidence/*.",
            )
    return Parcel(document, files, tuple(left_out))


def beside(folder: Path) -> dict[str, Path]:
    """What goes with an adapter of a folder although its card records no digest of it.

    Raises NotFit for a link to another place.
    """
    found = {
        path: place
        for path, place in _files(folder)
        if not _is_hidden(path) and any(fnmatchcase(path, pattern) for pattern in BESIDE)
    }
    for place in found.values():
        _refuse_link(folder, place)
    return found


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder but for the card, by their paths in it."""
    for place in sorted(folder.rglob("*")):
        path = place.relative_to(folder).as_posix()
        if path != CARD_NAME and place.is_file():
            yield path, place


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def check_parcel(parcel: Parcel, hub: Hub, repo: str) -> None:
    """Everything that the resolver will check, before anything is sent.

    Raises NotFit, UnmappedLicence or BadWeights with the reason, and what the client raises.
    """
    card = parcel.document.card
    if parcel.document.license == UNKNOWN:
        raise NotFit(f"{repo} would have no known licence", "Add `license:` to the card.")
    reviewed(parcel.document.license, repo)
    for path, place in parcel.files.items():
        if place.suffix.lower() in WEIGHT_SUFFIXES - {".safetensors"}:
            raise NotFit(f"{path} is no safetensors file", "Convert it where you trust it.")
        if place.suffix == ".safetensors":
            read_header(place)
    local = LocalRepo(repo, parcel.files)
    try:
        vet_adapter(local.listing(), card, local)
        vet_base(hub.at_commit(card.base.repo, card.base.revision), card, hub)
    except NotFit as problem:
        raise NotFit(
            f"{repo} would not be taken by `pull`: it {problem.message}",
            "`ggez-hub card init --force` records files and base anew.",
        ) from problem


def publish(
    parcel: Parcel, hub: Hub, repo: str, *, private: bool = False, pr: bool = False
) -> Published:
    """Check and publish; repeated, it sends nothing that is there already.

    Weights and card arrive in one commit: until then the repository resolves to what it was
    before. A version tag (v1, v2, ...) is added where the content is new. With `pr` a pull request
    is opened instead, or brought up to date, and nothing is tagged. Raises as `check_parcel`,
    NoToken, Refused, and what the client raises.
    """
    require_token(hub)
    document, scores = scored(tagged(parcel.document), repo)
    check_parcel(parcel, hub, repo)
    content: dict[str, Content] = {
        **scores,
        **parcel.files,
        CARD_NAME: render_card(document).encode(),
    }
    message = f"Publish the {document.card.region} adapter for {document.card.base.repo}"
    if pr:
        proposal = propose(hub, repo, content, message, _description(document))
        return Published(repo, head_of(hub, repo).revision, (), proposal=proposal)
    ensure_repo(hub, repo, private=private)
    done = commit(hub, repo, content, message, remove=_outdated(hub, repo, parcel))
    tag = tag_version(hub, repo, done.revision)
    return Published(repo, done.revision, done.changed, tag)


def tagged(document: CardDocument) -> CardDocument:
    """The card with the tags and keys by which the Hub finds it; raises BadCard."""
    try:
        front = with_hub_keys(document.card, document.front_matter)
    except ValueError as error:
        raise BadCard(str(error)) from error
    return CardDocument(document.card, front, document.prose)


def scored(document: CardDocument, repo: str) -> tuple[CardDocument, dict[str, Content]]:
    """The card with its scores as the Hub reads them, the file in `.eval_results/`, and a picture.

    The scores are those of the test side at beta 1, which is what a library makes of the files; the
    picture shows the whole curve, with the beta that is chosen.
    """
    curve = document.card.curve
    if curve == "unknown" or not (rows := claimed_scores(curve, AS_IS)):
        return document, {}
    front = dict(document.front_matter)
    name = repo.partition("/")[2]
    front["model-index"] = model_index(name, rows, front.get("pipeline_tag"), known_datasets(rows))
    card = document.card
    drawn = picture(card.measured, card.alpha.value, card.region, _chosen(card))
    scores = entries(rows, f"ggez-hub, beta {AS_IS}")
    return CardDocument(card, front, document.prose), drawn | scores


def _chosen(card: AdapterCard) -> float | None:
    try:
        return choose_for(card).beta
    except NoCurve:
        return None


def _outdated(hub: Hub, repo: str, parcel: Parcel) -> list[str]:
    """Files that the card in the repository records and this one does not.

    Raises NotFit if weights of other formats lie there: PEFT loads them where it finds no other.
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


def _refuse_link(folder: Path, place: Path) -> None:
    if not place.resolve().is_relative_to(folder.resolve()):
        raise NotFit(f"{place} is a link to a file outside {folder}", "Put the file itself there.")


def _description(document: CardDocument) -> str:
    return f"{document.card.summary.get('en', '')}\n\nBy `ggez-hub publish`.".strip()
