"""Models, files and data sets as components of a CycloneDX bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from ggez_hub.cards.provenance import DataSource
from ggez_hub.cards.values import UNKNOWN

HUGGING_FACE = "https://huggingface.co"


def known(**values: Any) -> dict[str, Any]:
    """The values that are known and not empty, by name."""
    return {
        name: value for name, value in values.items() if value not in (None, "", UNKNOWN, [], {})
    }


def properties(values: Mapping[str, object]) -> list[dict[str, str]]:
    """Name and value pairs, without those that are not known."""
    return [{"name": name, "value": str(value)} for name, value in known(**values).items()]


def purl(repo: str, revision: str, endpoint: str) -> str:
    """The package URL of a repository on a hub at a commit (purl-spec, type huggingface).

    On a hub of this machine alone, whose address means nothing elsewhere, it is a generic one.
    """
    if is_here(endpoint):
        return f"pkg:generic/{quote(repo)}{revision and f'@{revision.lower()}'}"
    elsewhere = "" if endpoint == HUGGING_FACE else f"?repository_url={quote(endpoint, safe='')}"
    return f"pkg:huggingface/{quote(repo)}{revision and f'@{revision.lower()}'}{elsewhere}"


def is_here(endpoint: str) -> bool:
    """Whether an address is one of this machine."""
    return urlsplit(endpoint).hostname in {"127.0.0.1", "localhost", "::1"}


def licences(names: Iterable[str]) -> list[dict[str, Any]]:
    """Licences by their SPDX ids, others by the name that the Hub has for them."""
    found = []
    for name in sorted(set(names) - {UNKNOWN, ""}):
        try:
            spdx = canonicalize_license_expression(name)
        except InvalidLicenseExpression:
            found.append({"license": {"name": name}})
        else:
            # The schema takes an expression only alone, and an exotic id only as a name.
            key = "id" if " " not in spdx and not spdx.startswith("LicenseRef") else "name"
            found.append({"license": {key: spdx}})
    return found


def file_components(files: Mapping[str, str], ref: str) -> list[dict[str, Any]]:
    """Files by path with their sha256s, of the component `ref`."""
    return [
        {
            "type": "file",
            "bom-ref": f"{ref}#{path}",
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": sha256}],
        }
        for path, sha256 in sorted(files.items())
    ]


def model_component(
    repo: str, revision: str, licence: str, files: Mapping[str, str], role: str, endpoint: str
) -> dict[str, Any]:
    """A model that another one was made of; `role` is base or adapter."""
    ref = f"{role}:{repo}@{revision}"
    return known(
        type="machine-learning-model",
        **{"bom-ref": ref},
        name=repo,
        version=revision,
        purl=purl(repo, revision, endpoint),
        licenses=licences([licence]),
        externalReferences=[]
        if is_here(endpoint)
        else [{"type": "distribution", "url": f"{endpoint}/{quote(repo)}"}],
        components=file_components(files, ref),
        properties=properties({"ggez:role": role}),
    )


def folder_component(
    name: str, licence: str, files: Mapping[str, str], role: str, number: int
) -> dict[str, Any]:
    """A model of a local folder that another one was made of, the `number`-th."""
    ref = f"{role}:{number}"
    return known(
        type="machine-learning-model",
        **{"bom-ref": ref},
        name=name,
        licenses=licences([licence]),
        components=file_components(files, ref),
        properties=properties({"ggez:role": role}),
    )


def data_components(sources: Iterable[DataSource]) -> list[dict[str, Any]]:
    """Data sets at their revisions, each once."""
    return [
        known(
            type="data",
            **{"bom-ref": ref},
            name=source.repo,
            version=source.revision,
            licenses=licences([source.license]),
            data=[{"type": "dataset", "name": source.repo}],
        )
        for ref, source in sorted({f"data:{s.repo}@{s.revision}": s for s in sources}.items())
    ]
