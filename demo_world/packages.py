"""What the world is made of: npm packages, pinned by version and by the registry's own sha512.

`npm` does the download (its proxies, mirrors and credentials are the user's own); nothing of a
package is run. A tarball is kept in the user's cache and checked every time that it is opened.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ggez_hub.errors import GgezError


@dataclass(frozen=True)
class Package:
    """One npm package at one version, with what its licence asks us to say."""

    name: str
    version: str
    integrity: str
    licence: str
    credit: str

    def record(self) -> dict[str, str]:
        """The package as a training record or an attribution lists it."""
        return {
            "package": f"npm:{self.name}@{self.version}",
            "integrity": self.integrity,
            "license": self.licence,
            "credit": self.credit,
        }


CLDR_NAMES = Package(
    "cldr-annotations-full",
    "48.2.0",
    "sha512-DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
    "Unicode-3.0",
    "Unicode, Inc., https://cldr.unicode.org",
)
CLDR_DERIVED_NAMES = Package(
    "cldr-annotations-derived-full",
    "48.2.0",
    "sha512-log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke8TchEfnwI9cIk2P31zO4nTvZmw==",
    "Unicode-3.0",
    "Unicode, Inc., https://cldr.unicode.org",
)
EMOJI_GROUPS = Package(
    "unicode-emoji-json",
    "0.9.0",
    "sha512-HdrQW/7SdbXUsTd8uTATv7LvQJkCSgbAgRCDCtOhQ6xn3EAx+xZHQtRniOXWJK3ywIqPegkNhP4U4EbuFsiQng==",
    "MIT",
    "Mu-An Chiou, https://github.com/muan/unicode-emoji-json",
)
TWEMOJI = Package(
    "@iconify-json/twemoji",
    "1.2.5",
    "sha512-uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    "CC-BY-4.0",
    "Twitter and the Twemoji contributors, https://github.com/jdecked/twemoji",
)
OPENMOJI = Package(
    "@iconify-json/openmoji",
    "1.2.29",
    "sha512-vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
    "CC-BY-SA-4.0",
    "OpenMoji, https://openmoji.org",
)
FLUENT = Package(
    "@iconify-json/fluent-emoji-flat",
    "1.2.6",
    "sha512-RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    "MIT",
    "Microsoft Corporation, https://github.com/microsoft/fluentui-emoji",
)
NOTO = Package(
    "@iconify-json/noto",
    "1.2.9",
    "sha512-DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    "Apache-2.0",
    "Google LLC, https://github.com/googlefonts/noto-emoji",
)


def cache_folder() -> Path:
    """Where downloads and computed features are kept; anything in it may be deleted."""
    return user_cache_path("ggez-hub") / "world"


def fetch(package: Package) -> Path:
    """The package's tarball on this machine, downloaded if need be, its sha512 checked."""
    tarball = (
        cache_folder()
        / "npm"
        / f"{package.name.strip('@').replace('/', '-')}-{package.version}.tgz"
    )
    if not tarball.exists():
        _download(package, tarball)
    found = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if found != package.integrity:
        raise GgezError(
            f"{tarball} is not {package.name}@{package.version}: {found}, expected {package.integrity}",
            f"delete it and try again: rm '{tarball}'",
        )
    return tarball


def read_text(package: Package, member: str) -> str:
    """A text file of the package, by its path inside the package."""
    with tarfile.open(fetch(package)) as archive:
        handle = archive.extractfile(f"package/{member}")
        if handle is None:
            raise GgezError(f"{package.name}@{package.version} has no file {member}")
        return handle.read().decode("utf-8")


def read_json(package: Package, member: str) -> Any:
    """A JSON file of the package."""
    return json.loads(read_text(package, member))


def _download(package: Package, tarball: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise GgezError(
            "the demo world is built from npm packages, and npm is not installed", "apt install npm"
        )
    tarball.parent.mkdir(parents=True, exist_ok=True)
    # Packed beside its final place and then renamed: an interrupted download leaves no tarball.
    with tempfile.TemporaryDirectory(dir=tarball.parent) as folder:
        spec = f"{package.name}@{package.version}"
        done = subprocess.run(
            [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, spec],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise GgezError(
                f"npm pack {spec} failed: {done.stderr.strip()}",
                "check the network and `npm config get registry`",
            )
        (packed,) = Path(folder).glob("*.tgz")
        packed.replace(tarball)
