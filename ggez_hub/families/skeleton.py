"""A model without its weights: the class of every module, under the names that PEFT gives them.

What a tensor is (a matrix that is multiplied, a table of rows, a kernel) cannot be seen from its
name and shape. Nothing of the folder but its configuration is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.families import transformers_names
from ggez_hub.families.diffusion import DENOISERS, read_components
from ggez_hub.families.family import Layout
from ggez_hub.families.transformers_folder import read_checkpoint

if TYPE_CHECKING:
    from torch import nn


# Libraries that have linear layers whose weight is (in, out): transformers.pytorch_utils.Conv1D.
WITH_CONV1D = frozenset({"transformers"})


class NoSkeleton(GgezError):
    """A model cannot be built from its folder's configuration."""


def module_tree(folder: Path, layout: Layout) -> dict[str, nn.Module]:
    """The modules of the model in `folder` by path, the model itself as the empty path.

    Of a pipeline only the denoiser: that is the model that a PEFT adapter is put on. Raises
    NoSkeleton.
    """
    try:
        model = BUILDERS[layout.library](folder)
    except GgezError:
        raise
    except Exception as error:  # a config from outside may break a model's code in any way
        raise NoSkeleton(f"{layout.library} cannot build the model in {folder}: {error}") from error
    return dict(model.named_modules())


def _open_clip(folder: Path) -> Any:
    import open_clip
    from accelerate import init_empty_weights  # type: ignore[import-untyped]

    before = logging.root.manager.disable
    # It warns that the weights are random: there are none.
    logging.disable(logging.WARNING)
    try:
        with init_empty_weights():
            return open_clip.create_model(
                f"local-dir:{folder}", load_weights=False, pretrained_text=False, device="meta"
            )
    finally:
        logging.disable(before)


def _transformers(folder: Path) -> Any:
    return transformers_names.meta_model(read_checkpoint(folder))


def _diffusers(folder: Path) -> Any:
    import diffusers
    from accelerate import init_empty_weights

    components = read_components(folder)
    name = next((name for name in DENOISERS if name in components), None)
    if name is None:
        raise NoSkeleton(f"{folder} has none of the components {', '.join(DENOISERS)}")
    kind = getattr(diffusers, components[name][1])
    with init_empty_weights():
        return kind.from_config(kind.load_config(folder / name, local_files_only=True))


BUILDERS: Mapping[str, Callable[[Path], Any]] = {
    "open_clip": _open_clip,
    "transformers": _transformers,
    "diffusers": _diffusers,
}
