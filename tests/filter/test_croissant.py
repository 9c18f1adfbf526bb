"""croissant.json: valid by the library of its authors, which reads the rows back."""

from __future__ import annotations

import json

import mlcroissant
import pytest

from ggez_hub.digests import sha256_file

from .corpora import captions


@pytest.fixture
def described(tmp_path, filtered):
    """The output of a filter, its report and its description."""
    rows = [("a", "Pho", "vn", 1), ("b", "Tower", "fr", 2), ("c", "Laap", "la", 3)]
    report, _ = filtered([captions(tmp_path, rows)])
    (out,) = tmp_path.glob("out-*")
    return out, report.document, json.loads((out / "croissant.json").read_text())


def test_it_is_valid_and_its_rows_are_read(described):
    out, _, croissant = described
    dataset = mlcroissant.Dataset(jsonld=out / "croissant.json")
    assert dataset.metadata.name == croissant["name"]
    assert dataset.metadata.ctx.is_v1_1()
    assert not dataset.metadata.ctx.issues.errors
    # Nobody is cited for a folder on somebody's machine, and it has no day of publication.
    for warning in dataset.metadata.ctx.issues.warnings:
        assert "citeAs" in warning or "datePublished" in warning
    read = list(dataset.records("examples"))
    assert sorted(row["examples/text"].decode() for row in read) == ["Laap", "Pho"]


def test_files_and_provenance(described):
    out, report, croissant = described
    files = [part for part in croissant["distribution"] if part["@type"] == "cr:FileObject"]
    assert {f["contentUrl"]: f["sha256"] for f in files} == {
        path.relative_to(out).as_posix(): sha256_file(path) for path in out.glob("data/*.parquet")
    }
    assert croissant["prov:wasGeneratedBy"]["@id"] == f"urn:sha256:{report['spec_digest']}"
    (source,) = croissant["prov:wasDerivedFrom"]
    assert source["version"] == report["sources"][0]["revision"]
    assert croissant["license"] == [report["sources"][0]["license"]]


def test_a_source_on_the_hub_is_named_at_its_commit(described, tmp_path):
    from ggez_hub.data.croissant import write_croissant
    from ggez_hub.data.rows import OUTPUT

    out, report, _ = described
    source = report["sources"][0] | {"repo": "org/captions", "revision": "0" * 40}
    held_out = report["sources"][0] | {"repo": "org/test", "held_out": True}
    write_croissant(out, report | {"sources": [source, held_out]}, OUTPUT)
    croissant = json.loads((out / "croissant.json").read_text())
    (derived,) = croissant["prov:wasDerivedFrom"]
    assert derived["@id"] == f"https://huggingface.co/datasets/org/captions/tree/{'0' * 40}"
    assert "nothing of org/test" in croissant["prov:wasGeneratedBy"]["description"]
    mlcroissant.Dataset(jsonld=out / "croissant.json")
