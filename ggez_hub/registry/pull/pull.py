"""From a plan to a folder that is complete or absent."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.atomic_files import OutputExists, atomic_folder, write_file
from ggez_hub.daemon_threads import start
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, link_fetched
from ggez_hub.merging.forms.switch import Wrote
from ggez_hub.merging.merge import Adapter, load_engine, require_engine
from ggez_hub.merging.side_files import check_space
from ggez_hub.output_lock import lock_output
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.constants import CARD_NAME, LOCK_NAME
from ggez_hub.registry.lock import Lock, differences, lock_place, read_lock, record_outputs
from ggez_hub.registry.pull.cache import record_files, unchanged_files
from ggez_hub.registry.pull.first_use import note_first_use
from ggez_hub.registry.pull.plan import PullPlan
from ggez_hub.registry.pull.preflight import Preflight, preflight, require_inputs
from ggez_hub.registry.pull.published_merge import PublishedMerge, find_published, take_published
from ggez_hub.registry.pull.result_card import result_card
from ggez_hub.registry.pull.target import require_pullable
from ggez_hub.registry.resolution import PinnedFile, PinnedRepo, Resolution
from ggez_hub.registry.result_forms import Inputs, ResultForm
from ggez_hub.safetensors_header import BadWeights, read_header


@dataclass(frozen=True)
class Pulled:
    """What a pull left: the folder, its lock, and whether it was there already.

    `published` is the repository of a merged model that was taken instead of merging.
    """

    folder: Path
    lock: Lock
    reused: bool
    published: str | None = None

    @property
    def model(self) -> Path:
        return self.folder / self.lock.resolution.family

    @property
    def lock_file(self) -> Path:
        return lock_place(self.folder, self.lock.resolution.family)


def check(planned: PullPlan, hub: Hub, out: Path, *, verify: bool = False) -> Preflight | None:
    """The costs of a pull; None where `out` has it already, unchanged as `carry_out` compares it.

    Raises before anything of size is fetched: NoAccess, OutputExists, NoSpace, GgezError.
    """
    resolution = planned.resolution
    require_inputs(resolution, hub)
    there = _there(out, resolution)
    if there is not None:
        _require_unchanged(out, there, verify=verify)
        return None
    _require_engine(form_of(resolution))
    costs = preflight(resolution, hub, out)
    check_space(costs.bytes_by_folder(out))
    return costs


def carry_out(
    planned: PullPlan,
    hub: Hub,
    out: Path,
    wrote: Wrote = None,
    *,
    owners: Collection[str] = (),
    costs: Preflight | None = None,
) -> Pulled:
    """Fetch, merge and write a plan as the new folder `out`, or as another family's model in it.

    `out` holds <family>/ in the form of the resolution with a card, and the lock (`lock_place`). A
    model that exists with the same merge digest is kept: of its files those are read again that were
    touched since. `costs` are those of `check`, if it was called. A merged model that one of `owners` has published is taken where the
    inputs are not here. With a plan from a lock the outputs must be those that it records.

    Raises NoAccess, OutputExists, GgezError, NoSpace, ChangedFile, and what merging and the
    client raise. On error, `out` is unchanged.
    """
    resolution = planned.resolution
    require_inputs(resolution, hub)
    form = form_of(resolution)
    with lock_output(out, out / resolution.family) as place:
        there = _there(out, resolution)
        if there is not None:
            _require_unchanged(out, there)
            return Pulled(out, there, reused=True)
        _require_engine(form)
        if costs is None:
            costs = preflight(resolution, hub, out)
            check_space(costs.bytes_by_folder(out))
        made = _published(resolution, hub, owners, costs.fetch_bytes, planned.lock)
        if made is None:
            loading = start(load_engine) if form.merges else None
            inputs = _fetched(resolution, form, hub, place)
            if loading is not None:
                # Its own error: a library that is imported again may fail for another reason.
                loading.result()
        with _new_model(out, resolution.family) as (model, lock_file):
            if made is None:
                form.write(resolution, inputs, model, wrote)
            else:
                take_published(made, hub, model, wrote)
            (model / CARD_NAME).write_text(result_card(planned, model, hub), encoding="utf-8")
            outputs = {
                f"{resolution.family}/{name}": record
                for name, record in record_outputs(model).items()
            }
            lock = Lock(resolution=resolution, outputs=outputs)
            if planned.lock is not None:
                _check_expected(planned.lock, lock)
            # Before the model is moved beside it: a lock without its model is in nobody's way.
            write_file(lock_file, lock.to_text())
        record_files(out, lock.outputs)
    if planned.lock is None:
        note_first_use(planned, hub)
    published = f"{made.repo}@{made.revision}" if made else None
    return Pulled(out, lock, reused=False, published=published)


def _require_engine(form: ResultForm) -> None:
    if form.merges:
        require_engine()


@contextmanager
def _new_model(out: Path, family: str) -> Iterator[tuple[Path, Path]]:
    """A folder that becomes `out`/`family` at the end, and the place of its lock."""
    if os.path.lexists(out):
        with atomic_folder(out / family) as model:
            yield model, lock_place(out, family)
        return
    with atomic_folder(out) as folder:
        model = folder / family
        model.mkdir()
        yield model, folder / LOCK_NAME


def _published(
    resolution: Resolution,
    hub: Hub,
    owners: Collection[str],
    fetch_bytes: int,
    expected: Lock | None,
) -> PublishedMerge | None:
    """A merged model that is there already, where taking it sends no more than merging here."""
    if not owners or resolution.form != "merged" or resolution.base is None or not fetch_bytes:
        return None
    found = find_published(resolution, hub, owners, expected)
    return found if found is not None and found.nbytes <= fetch_bytes else None


def _fetched(resolution: Resolution, form: ResultForm, hub: Hub, place: Path) -> Inputs:
    # Adapters first: they are small and come from strangers, and what is wrong with one is
    # known before the base is fetched.
    adapters = [
        # What is taken as it is has no weight; its form asks for none.
        Adapter(
            _adapter(a.source, hub, place / f"adapter-{number}"),
            a.weight or 0.0,
            a.parts.betas if a.parts else {},
        )
        for number, a in enumerate(resolution.adapters, 1)
    ]
    # Known for certain only now: a file may hold more than its configuration.
    needed = form.base_files(resolution, [adapter.folder for adapter in adapters])
    base = stage(resolution.merged_into, hub, place / "base", needed) if needed else None
    return Inputs(base, adapters)


def stage(
    pinned: PinnedRepo, hub: Hub, place: Path, files: Sequence[PinnedFile] | None = None
) -> Path:
    """Files of a pinned repository, or all, and no others, in a new folder in `place`.

    The cache has all that was ever fetched of a commit: another set of weights, side files.
    """
    target = place / f"{pinned.repo.replace('/', '--')}@{pinned.revision[:12]}"
    wanted = pinned.files if files is None else files
    return link_fetched(pinned.fetch(hub, wanted), [file.as_hub_file() for file in wanted], target)


def _adapter(pinned: PinnedRepo, hub: Hub, place: Path) -> Path:
    """An adapter, staged; raises BadWeights if a header of its files is not what it promises.

    Such files are removed from the cache.
    """
    folder = stage(pinned, hub, place)
    try:
        for path in pinned.weights:
            read_header(folder / path)
    except BadWeights as error:
        hub.forget(pinned.repo, pinned.revision, pinned.weights)
        where = f"{pinned.repo}@{pinned.revision[:12]}: "
        raise BadWeights(
            error.message.replace(f"{folder}/", where),
            "It was removed from the cache: do not use this adapter.",
        ) from error
    return folder


def _there(out: Path, resolution: Resolution) -> Lock | None:
    """The lock of the resolution's model in `out`, None where its family has none there.

    Raises OutputExists where something else is in its place.
    """
    require_pullable(out)
    if not os.path.lexists(out):
        return None
    family, place = resolution.family, lock_place(out, resolution.family)
    if not os.path.lexists(out / family):
        return None
    if not place.is_file():
        raise OutputExists(f"{out / family} exists already, without a lock", "Remove it.")
    lock = read_lock(place)
    if lock.resolution.merge_digest != resolution.merge_digest:
        raise OutputExists(
            f"{out} holds another pull: {describe(lock.resolution)}",
            f"This one is {describe(resolution)}. Choose another folder with -o, or remove it.",
        )
    return lock


def _require_unchanged(out: Path, lock: Lock, *, verify: bool = False) -> None:
    unread = () if verify else unchanged_files(out)
    if found := differences(lock, out, unread=unread):
        raise OutputExists(
            f"{out} was changed since it was pulled: {'; '.join(found)}",
            "Choose another folder with -o, or remove it.",
        )
    record_files(out, lock.outputs)


def _check_expected(expected: Lock, made: Lock) -> None:
    found = [
        f"{name} has {made.outputs[name].size:,} bytes and another sha256 than {record.sha256[:16]}…"
        if name in made.outputs
        else f"{name} is missing"
        for name, record in expected.outputs.items()
        # The card is text about the result: another version may word it otherwise.
        if made.outputs.get(name) != record and not name.endswith(f"/{CARD_NAME}")
    ]
    if not found:
        return
    hint = "The inputs were the same: the engine, or a library that it uses, is another one."
    if platform.machine() not in {"x86_64", "AMD64"}:
        hint = f"Equal bytes are promised on x86-64; this machine is {platform.machine()}."
    raise GgezError("the result differs from the lock:\n  " + "\n  ".join(found), hint)


def describe(resolution: Resolution) -> str:
    """A resolution in one line."""
    if resolution.base is None:
        source = resolution.adapters[0].source
        return f"{source.repo}@{source.revision[:8]} as it is"
    adapters = " + ".join(
        f"{a.weight:g}{' by part' if a.parts else ''} * {a.source.repo}@{a.source.revision[:8]}"
        for a in resolution.adapters
    )
    base = resolution.base
    return f"{base.repo}@{base.revision[:8]} + {adapters} ({resolution.form})"
