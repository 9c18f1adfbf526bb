"""What is asked of the registry."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ggez_hub.errors import UsageProblem
from ggez_hub.http_address import NAME
from ggez_hub.parity.policy import Policy
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.merging.betas_by_part import BetasByPart

REPOSITORY = re.compile(rf"({NAME}/{NAME})(?:@([^@\s]+))?")
# A page of a hub: of a repository, or of a revision of it.
PAGE = re.compile(
    rf"https?://[^/]+/(?:models/)?({NAME}/{NAME})(?:/(?:tree|commit|blob)/([^/?#]+))?.*"
)
IndexChoice: TypeAlias = Literal["hub", "shipped"]
OutDtype: TypeAlias = Literal["bfloat16"]


def require_repository(name: str) -> None:
    """Raise UsageProblem unless `name` is org/name or org/name@REVISION."""
    if REPOSITORY.fullmatch(name):
        return
    hint = "A repository is named org/name, or org/name@REVISION."
    if page := PAGE.fullmatch(name):
        hint = f"It is an address; its repository is {page[1]}{f'@{page[2]}' if page[2] else ''}."
    raise UsageProblem(f"{name!r} is not the name of a repository", hint)


@dataclass(frozen=True)
class Request:
    """A pull as it was asked for; None leaves the choice to the registry.

    Raises UsageProblem for a repository, a beta, a policy or an alpha that is not one.

    adapters: repositories, each with `@REVISION` or without; more than one are composed.
    beta: one for every adapter, or one for each of `adapters`.
    policy: how beta is chosen, `parity`, `keep` or `keep=SHARE`; None for what each card declares.
    form: `merged`, or an adapter form such as `peft`.
    trust: `curated` (the accepted cards), `any`, or organisations separated by commas; what `adapters`
        names is trusted unless organisations are given.
    index: `hub` (its own), `shipped` (the package's); None: the package's where the hub has none.
    out_dtype: what a base in float8 is stored as, as `merging.merge` takes it.
    accept_changed: take other weights than at the first use, of what no card records by sha256.
    parts: betas by part, one for every adapter, or one for each.
    """

    region: str
    family: str | None = None
    base: str | None = None
    beta: float | tuple[float, ...] | None = None
    policy: str | None = None
    alpha: float | None = None
    method: str = "ggez_linear"
    form: str = "merged"
    wide: bool = False
    trust: str = "curated"
    live: bool = False
    index: IndexChoice | None = None
    adapters: tuple[str, ...] = ()
    allow_overlap: bool = False
    allow_shape_match: bool = False
    accept_changed: bool = False
    parts: tuple[BetasByPart, ...] = ()
    out_dtype: OutDtype | None = None

    def __post_init__(self) -> None:
        for name in (*self.adapters, *([self.base] if self.base is not None else [])):
            require_repository(name)
        betas = self.beta if isinstance(self.beta, tuple) else (self.beta,)
        for beta in betas:
            if beta is not None and not (math.isfinite(beta) and beta >= 0):
                raise UsageProblem(f"beta is {beta}: it should be a number from 0 on")
        if self.policy is not None:
            Policy.parse(self.policy)
            if self.beta is not None:
                raise UsageProblem("--policy chooses beta and --beta gives it", "Use one of them.")
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise UsageProblem(f"alpha is {self.alpha}: it should be a number from 0 to 1")

    @property
    def bare(self) -> bool:
        return self.family is None and self.base is None and not self.adapters

    def betas(self, count: int) -> tuple[float | None, ...]:
        if not isinstance(self.beta, tuple):
            return (self.beta,) * count
        if len(self.beta) != count:
            raise UsageProblem(
                f"{counted(count, 'adapter')} and {counted(len(self.beta), 'beta')}",
                "Give one --beta for each --adapter, or one for all.",
            )
        return self.beta

    def parts_for(self, count: int) -> tuple[BetasByPart | None, ...]:
        if len(self.parts) not in {0, 1, count}:
            raise UsageProblem(
                f"{counted(count, 'adapter')} and {counted(len(self.parts), 'file of betas', 'files of betas')} by part",
                "Give one --betas for each --adapter, or one for all.",
            )
        return self.parts if len(self.parts) == count else (self.parts or (None,)) * count
