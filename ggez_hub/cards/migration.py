"""Cards of older schema versions, migrated step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ggez_hub.cards.schema import SCHEMA_VERSION

# From a version to the next: MIGRATIONS[1] turns a block of version 1 into one of version 2.
# A step takes the block of the YAML as it is, and may raise KeyError or TypeError for a block
# that does not follow its version. Version 1 is the first that was published; it has neither `policy`
# nor `parity`: beta is chosen by parity, and the errors of its curve are taken as independent.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: lambda block: block}


def migrated(block: dict[str, Any]) -> dict[str, Any]:
    """The block in this program's version; unchanged if it names no version that can be migrated.

    Raises ValueError for a newer version, and for a block that does not follow its version.
    """
    version = block.get("schema_version")
    if type(version) is not int:
        return block
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"is {version}, this ggez-hub reads {SCHEMA_VERSION}: update ggez-hub "
            "(pip install --upgrade ggez-hub)"
        )
    while version < SCHEMA_VERSION and version in MIGRATIONS:
        try:
            block = MIGRATIONS[version](block)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"is {version}, which the block does not follow: {error!r}") from error
        version += 1
        block = {**block, "schema_version": version}
    return block
