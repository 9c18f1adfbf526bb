"""The image in which jobs run, from its tag to its current digest.

By the protocol of registries (OCI distribution specification 1.1, "Checking if content exists in the
registry": HEAD of a manifest) and the anonymous token of those that ask for one
(https://distribution.github.io/distribution/spec/auth/token/). No image is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.commit_pins import NotPinned
from ggez_hub.recipe_file import read_recipe
from ggez_hub.yaml_text import with_values

if TYPE_CHECKING:
    import httpx2

# An index of the images for several machines comes first: its digest is good for all of them.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
# Docker's defaults: https://pkg.go.dev/github.com/distribution/reference
DOCKER_HUB, OFFICIAL = "registry-1.docker.io", "library"
TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Image:
    """An image by its registry, its name in it, and its tag."""

    registry: str
    name: str
    tag: str

    @classmethod
    def of(cls, reference: str) -> Image:
        """From what `docker pull` takes: a first part with a dot or a port is a registry."""
        path, _, tag = reference.partition("@")[0].rpartition(":")
        if not path or "/" in tag:
            path, tag = reference.partition("@")[0], "latest"
        first, _, rest = path.partition("/")
        if rest and ("." in first or ":" in first or first == "localhost"):
            return cls(first, rest, tag)
        return cls(DOCKER_HUB, path if rest else f"{OFFICIAL}/{path}", tag)

    @property
    def scheme(self) -> str:
        """As for Docker only a registry on this machine has no TLS."""
        local = self.registry.partition(":")[0] in {"localhost", "127.0.0.1"}
        return "http" if local else "https"

    @property
    def manifest(self) -> str:
        return f"{self.scheme}://{self.registry}/v2/{self.name}/manifests/{self.tag}"


def loose_image(budget: Path) -> str | None:
    """The image that a budget file names by its tag, None if by its digest; raises UsageProblem."""
    reference = read_recipe(budget, "budget", Budget).image
    return None if "@" in reference else reference


def pin_image(budget: Path) -> str | None:
    """Write the digest of the image's tag into a budget file; None if it has one.

    Raises NotPinned, and UsageProblem; on error the file is unchanged.
    """
    reference = loose_image(budget)
    if reference is None:
        return None
    pinned = f"{reference}@{digest_of(Image.of(reference))}"
    text = budget.read_text(encoding="utf-8")
    budget.write_text(with_values(text, {("image",): pinned}), encoding="utf-8", newline="\n")
    return pinned


def digest_of(image: Image) -> str:
    """The current digest of a tag, as its registry reports it; raises NotPinned."""
    import httpx2

    headers = {"Accept": MANIFESTS}
    try:
        with httpx2.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            answer = client.head(image.manifest, headers=headers)
            if answer.status_code == 401:
                token = _token(client, image, answer.headers.get("WWW-Authenticate", ""))
                headers["Authorization"] = f"Bearer {token}"
                answer = client.head(image.manifest, headers=headers)
            answer.raise_for_status()
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        raise NotPinned(
            f"the image {image.name}:{image.tag} cannot be asked for at {image.registry}: {error}"
        ) from error
    digest: str = answer.headers.get("Docker-Content-Digest", "")
    if not DIGEST.fullmatch(digest):
        raise NotPinned(f"{image.registry} names no sha256 of {image.name}:{image.tag}")
    return digest


def _token(client: httpx2.Client, image: Image, challenge: str) -> str:
    """The token for reading that anybody gets, from where the registry's challenge says."""
    parameters = dict(CHALLENGE.findall(challenge))
    realm = parameters.pop("realm", "")
    if not realm.startswith((f"{image.scheme}://", "https://")):
        raise ValueError("it asks for a password")
    given = client.get(realm, params=parameters).raise_for_status().json()
    return str(given.get("token") or given["access_token"])
