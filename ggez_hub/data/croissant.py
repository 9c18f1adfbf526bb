"""croissant.json beside the output of a filter: Croissant 1.1, which catalogues of data sets read.

Files with their sha256, columns as a record set, licences, and where the rows come from as PROV:
the sources at their revisions, and the filter as the activity with the digest of its spec.
https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub import __version__
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import sha256_file
from ggez_hub.hub.listings import COMMIT
from ggez_hub.regions import find_region

if TYPE_CHECKING:
    import pyarrow as pa

CROISSANT_FILE = "croissant.json"
HUB = "https://huggingface.co/datasets"
# The context of the specification, 1.1, with PROV's terms.
CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
} | {
    name: f"cr:{name}"
    for name in [
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    ]
}
TYPES = {
    "string": "sc:Text",
    "double": "sc:Float",
    "int32": "cr:Int32",
    "uint64": "cr:UInt64",
    "bool": "sc:Boolean",
}


def write_croissant(folder: Path, document: Mapping[str, Any], schema: pa.Schema) -> None:
    """Describe a filter's output in `folder`, of its report, as croissant.json."""
    text = json.dumps(_dataset(folder, document, schema), ensure_ascii=False, indent=2)
    (folder / CROISSANT_FILE).write_text(text + "\n", encoding="utf-8")


def _dataset(folder: Path, document: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    read = [source for source in document["sources"] if not source["held_out"]]
    licences = sorted({source["license"] for source in read} - {UNKNOWN})
    name = f"{document['region']}-{document['spec_digest'][:12]}"
    counts = document["counts"]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": f"{counts['kept'] + counts['translated']:,} examples of "
        f"{find_region(document['region']).name}, selected from {counts['seen']:,} by ggez-hub.",
        "version": "1.0.0",
        "license": licences,
        "prov:wasDerivedFrom": [_source(source) for source in read],
        "prov:wasGeneratedBy": _activity(document),
        "distribution": list(_files(folder)),
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "examples",
                "name": "examples",
                "field": [_field(column) for column in schema],
            }
        ],
    }


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    """A data set that rows were taken from; on the Hub its address is at the commit."""
    on_hub = "/" in source["repo"] and COMMIT.fullmatch(source["revision"])
    address = f"{HUB}/{source['repo']}/tree/{source['revision']}"
    return {
        # Not a sc:Dataset: readers would take it for the one that is described.
        "@type": "prov:Entity",
        "@id": address if on_hub else f"#{source['name']}",
        "name": source["repo"],
        "version": source["revision"],
        "license": source["license"],
    }


def _activity(document: Mapping[str, Any]) -> dict[str, Any]:
    reward = document["reward"]
    parts = [*map(str.strip, document["rules"]), f"translator {document['translator']}"]
    parts.append(
        "no reward scorer"
        if reward == "none"
        else f"reward by {reward['scorer']} {reward['comparison']} {reward['threshold']:g}"
    )
    held_out = ", ".join(s["repo"] for s in document["sources"] if s["held_out"])
    return {
        "@type": "prov:Activity",
        "@id": f"urn:sha256:{document['spec_digest']}",
        "name": "ggez-hub filter",
        "description": "; ".join(parts) + (f"; nothing of {held_out}" if held_out else ""),
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "@id": "#ggez-hub",
            "name": f"ggez-hub {__version__}",
        },
    }


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "data").glob("*.parquet")):
        name = path.relative_to(folder).as_posix()
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": path.name,
            "contentUrl": name,
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": "application/x-parquet",
            "sha256": sha256_file(path),
        }
    yield {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }


def _field(column: pa.Field, inside: str = "") -> dict[str, Any]:
    """A column as a field; the parts of a list of records are its sub-fields."""
    import pyarrow as pa

    kind, identity = column.type, f"examples/{inside}{column.name}"
    path = f"{inside}{column.name}".replace("/", ".")
    top, _, below = path.partition(".")
    extract = {"extract": {"column": top}} | ({"transform": {"jsonPath": below}} if below else {})
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": identity,
        "name": identity,
        "source": {"fileSet": {"@id": "shards"}, **extract},
    }
    if column.name == "image":
        field["dataType"] = "sc:ImageObject"
        field["source"]["transform"] = {"jsonPath": "bytes"}
    elif pa.types.is_list(kind):
        field |= {"isArray": True, "arrayShape": "-1"}
        field["subField"] = [_field(part, f"{column.name}/") for part in kind.value_type]
    else:
        field["dataType"] = TYPES[str(kind)]
    return field
