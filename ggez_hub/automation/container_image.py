"""The image in which jobs run, from its tag to the digest that it is now.

By the protocol of registries (OCI distribution specification 1.1, "Checking if content exists in the
registry": HEAD of a manifest) and the anonymous token of those that ask for one
(https://distribution.github.io/distribution/spec/auth/token/). No image is fetched.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.budget import Budget
from ggez_hub.automation.commit_pins import NotPinned
from ggez_hub.recipe_file import read_recipe
from ggez_hub.yaml_text import with_values

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
MAX_TOKEN = 100_000


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
    def manifest(self) -> str:
        """The address of its manifest; as for Docker only a registry on this machine has no TLS."""
        host = self.registry.partition(":")[0]
        scheme = "http" if host in {"localhost", "127.0.0.1"} else "https"
        return f"{scheme}://{self.registry}/v2/{self.name}/manifests/{self.tag}"


def loose_image(budget: Path) -> str | None:
    """The image that a budget file names by its tag, None if by its digest; raises BadRecipe."""
    reference = read_recipe(budget, "budget", Budget).image
    return None if "@" in reference else reference


def pin_image(budget: Path) -> str | None:
    """Write the digest of the image's tag into a budget file; None if it has one.

    Raises NotPinned, and then the file is as it was; BadRecipe.
    """
    reference = loose_image(budget)
    if reference is None:
        return None
    pinned = f"{reference}@{digest_of(Image.of(reference))}"
    text = budget.read_text(encoding="utf-8")
    budget.write_text(with_values(text, {("image",): pinned}), encoding="utf-8", newline="\n")
    return pinned


def digest_of(image: Image) -> str:
    """The digest that a tag has now, as its registry says; raises NotPinned."""
    try:
        try:
            headers = _head(image, {})
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            headers = _head(image, {"Authorization": f"Bearer {_token(image, error)}"})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise NotPinned(
            f"the image {image.name}:{image.tag} cannot be asked for at {image.registry}: {error}"
        ) from error
    digest = headers.get("Docker-Content-Digest", "")
    if not DIGEST.fullmatch(digest):
        raise NotPinned(f"{image.registry} names no sha256 of {image.name}:{image.tag}")
    return digest


def _head(image: Image, headers: Mapping[str, str]) -> Mapping[str, str]:
    request = urllib.request.Request(  # noqa: S310 - http on this machine alone
        image.manifest, headers={"Accept": MANIFESTS, **headers}, method="HEAD"
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        found: Mapping[str, str] = answer.headers
        return found


def _token(image: Image, refused: urllib.error.HTTPError) -> str:
    """The token for reading that anybody gets, from where the registry says."""
    asked = dict(CHALLENGE.findall(refused.headers.get("WWW-Authenticate", "")))
    realm = asked.pop("realm", "")
    scheme = image.manifest.partition(":")[0]
    if not realm.startswith((f"{scheme}://", "https://")):
        raise ValueError("it asks for a password")
    with urllib.request.urlopen(  # noqa: S310 - as safe as the registry itself
        f"{realm}?{urllib.parse.urlencode(asked)}", timeout=TIMEOUT
    ) as answer:
        given = json.loads(answer.read(MAX_TOKEN))
    return str(given.get("token") or given["access_token"])
