"""An adapter form of local folders: `merge --as`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.forms import FormBase, get_adapter_form
from ggez_hub.merging.forms.facts import Facts, facts_of
from ggez_hub.merging.merge import Adapter
from ggez_hub.output_lock import lock_output


def write_adapter(
    base: Path,
    adapters: Sequence[Adapter],
    out: Path,
    family: Family,
    form: str,
    variant: str | None = None,
    named: tuple[str, str | None] | None = None,
) -> Facts:
    """Write one adapter, with its betas folded in, as the new folder `out`; returns what it holds.

    `base` is the folder that it is for; its weights, of `variant`, are read only if the adapter
    saves parameters whole, their headers if tensors have betas of their own. `named` is what the base is called, with its commit, where that is not
    the folder. Raises UsageProblem for several adapters or an unknown form, OutputExists, and what the
    form raises; then nothing is left behind.
    """
    chosen = get_adapter_form(form)
    require_one(form, len(adapters))
    (adapter,) = adapters
    with lock_output(out), atomic_folder(out) as folder:
        name, revision = named or (str(base), None)
        chosen.write(adapter, FormBase(name, revision, family, base, variant), folder)
        return facts_of(form, family.name, name, revision or "", folder, str(out))


def require_one(form: str, count: int) -> None:
    """Raise UsageProblem for several adapters: a sum of LoRAs is no LoRA of their ranks."""
    if count != 1:
        raise UsageProblem(
            f"--as {form} takes one adapter, not {count}", "Take the merged form: leave out --as."
        )
