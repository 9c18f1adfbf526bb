"""A filter's output on S3: moto's server."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.data.object_store import ObjectFolder

from .corpora import captions, spec
from .test_run import contents

BUCKET = "corpora"


@pytest.fixture(scope="module")
def server():
    """An object store with one bucket; what its clients read is in the environment."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        files = ObjectFolder(f"s3://{BUCKET}/x")._files
        files.mkdir(BUCKET)
        yield files
    moto.stop()


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The file of a spec; the current folder is a new one."""
    rows = [("a", "Pho", "vn", 1), ("b", "Tower", "fr", 2), ("c", "Laap", "la", 3)]
    place = tmp_path / "spec.yaml"
    document = spec([captions(tmp_path, rows)]).model_dump(mode="json", exclude_none=True)
    place.write_text(yaml.safe_dump(document))
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    return place


def run(*arguments):
    return CliRunner().invoke(cli, ["filter", *map(str, arguments)])


@pytest.mark.slow
def test_the_objects_are_the_files_of_a_folder(server, asked, tmp_path):
    assert run(asked, "-o", tmp_path / "here").exit_code == 0
    done = run(asked, "-o", f"s3://{BUCKET}/th", "--on", "local:2")
    assert done.exit_code == 0, done.output
    assert f"s3://{BUCKET}/th: 2 of 3 examples kept" in done.stdout
    server.get(f"{BUCKET}/th", str(tmp_path / "there"), recursive=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert list((tmp_path / "current").iterdir()) == []
    # What is there is not made again, and another spec does not replace it.
    before = server.info(f"{BUCKET}/th/report.json")["LastModified"]
    again = run(asked, "-o", f"s3://{BUCKET}/th/", "--json")
    assert json.loads(again.stdout)["counts"]["kept"] == 2
    assert server.info(f"{BUCKET}/th/report.json")["LastModified"] == before
    asked.write_text(asked.read_text().replace("southeast-asia", "th"))
    other = run(asked, "-o", f"s3://{BUCKET}/th")
    assert other.exit_code == 2
    assert "holds another result" in other.stderr


def test_a_killed_send_is_completed_and_was_not_complete_before(
    server, asked, monkeypatch, tmp_path
):
    put, sent = server.put_file, []

    def die(source, target):
        if len(sent) == 3:
            raise KeyboardInterrupt
        sent.append(target)
        put(source, target)

    # fsspec has one file system for all who ask with the same options.
    monkeypatch.setattr(server, "put_file", die)
    work = tmp_path / "work"
    assert run(asked, "-o", f"s3://{BUCKET}/killed", "--work", work).exit_code != 0
    assert len(server.find(f"{BUCKET}/killed")) == 3
    assert not server.exists(f"{BUCKET}/killed/report.json")
    monkeypatch.setattr(server, "put_file", put)
    assert run(asked, "-o", f"s3://{BUCKET}/killed", "--work", work).exit_code == 0
    assert server.exists(f"{BUCKET}/killed/report.json")
    assert list(work.iterdir()) == []


def test_what_is_somebody_elses_stays(server, asked):
    server.pipe(f"{BUCKET}/mine/notes.txt", b"mine")
    done = run(asked, "-o", f"s3://{BUCKET}/mine")
    assert done.exit_code == 2
    assert "holds other files, as notes.txt" in done.stderr
    assert server.find(f"{BUCKET}/mine") == [f"{BUCKET}/mine/notes.txt"]


def test_a_bucket_that_is_not_there_is_refused_before_anything_is_read(server, asked, tmp_path):
    done = run(asked, "-o", "s3://nowhere/th")
    assert done.exit_code == 1
    assert "bucket does not exist" in done.stderr
    assert list((tmp_path / "current").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://bucket", "is not s3://BUCKET/PATH"),
        ("gs://bucket/th", "is an address; this is a path"),
        ("hf://datasets/a/b", "is an address; this is a path"),
    ],
)
def test_other_addresses_are_refused(asked, tmp_path, place, message):
    done = run(asked, "-o", place)
    assert done.exit_code == 2
    assert message in done.stderr
    assert list((tmp_path / "current").iterdir()) == []


def test_without_credentials_it_says_which_it_wants(server, asked, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    ObjectFolder(f"s3://{BUCKET}/x")._files.clear_instance_cache()
    done = run(asked, "-o", f"s3://{BUCKET}/without")
    assert done.exit_code == 1
    assert "the object store: Unable to locate credentials" in done.stderr
    assert "AWS_ACCESS_KEY_ID" in done.stderr
