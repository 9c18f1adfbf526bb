"""A release: what is published is what the tag, the versions and the changelog say."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ggez_hub import __version__
from ggez_hub.automation.release import check_release
from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError

from .runner import PROJECT

CHANGELOG = (
    "# Changelog\n\n## 1.2.0 (2026-12-01)\n\n- A door.\n\n## 1.1.0 (2026-11-01)\n\n- A wall.\n"
)


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a-b"\nversion = "1.2.0"\n')
    (tmp_path / "a_b").mkdir()
    (tmp_path / "a_b" / "__init__.py").write_text('"""A."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "dist").mkdir()
    for name in ("a_b-1.2.0-py3-none-any.whl", "a_b-1.2.0.tar.gz"):
        (tmp_path / "dist" / name).touch()
    return tmp_path


def test_a_release_whose_parts_agree(checkout):
    found = check_release(checkout, "v1.2.0", checkout / "dist")
    assert (found.version, found.date, found.notes) == ("1.2.0", "2026-12-01", "- A door.")


def test_everything_that_does_not_agree_is_named_at_once(checkout):
    (checkout / "a_b" / "__init__.py").write_text('__version__ = "1.1.0"\n')
    (checkout / "CHANGELOG.md").write_text(CHANGELOG.replace("2026-12-01", "unreleased"))
    (checkout / "dist" / "a_b-1.2.0.tar.gz").rename(checkout / "dist" / "a_b-1.3.0.tar.gz")
    (checkout / "dist" / "notes.txt").touch()
    arguments = ["v1.3.0", "--repository", str(checkout), "--dist", str(checkout / "dist")]
    result = CliRunner().invoke(cli, ["ci", "release-check", *arguments])
    assert result.exit_code == 1
    for said in (
        "the tag is v1.3.0, and the version in pyproject.toml asks for v1.2.0",
        "__version__ is 1.1.0",
        "1.2.0 has unreleased where its date stands",
        "a_b-1.3.0.tar.gz is of a-b 1.3.0, not of a-b 1.2.0",
        "notes.txt is neither a wheel nor a source distribution",
    ):
        assert said in result.stderr


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("CHANGELOG.md", CHANGELOG.replace("1.2.0", "1.2.1"), "its first section is 1.2.1"),
        ("CHANGELOG.md", CHANGELOG.replace("- A door.", ""), "the section of 1.2.0 is empty"),
        ("CHANGELOG.md", "# Changelog\n", "its first section is none"),
        ("pyproject.toml", '[project]\nname = "a-b"\nversion = "1.2-0"\n', "PEP 440"),
        ("pyproject.toml", "[project]\n", "cannot be released: 'name'"),
    ],
)
def test_what_is_not_released(checkout, file, text, said):
    (checkout / file).write_text(text)
    with pytest.raises(GgezError) as raised:
        check_release(checkout, "v1.2.0")
    assert said in raised.value.message


def test_one_wheel_and_one_sdist_are_uploaded(checkout):
    (checkout / "dist" / "a_b-1.2.0.tar.gz").unlink()
    with pytest.raises(GgezError, match="1 wheel and 0 sdists"):
        check_release(checkout, "v1.2.0", checkout / "dist")


def test_this_project_has_one_version():
    """Before its release the date alone is missing."""
    problems = []
    try:
        check_release(PROJECT, f"v{__version__}")
    except GgezError as problem:
        problems = problem.message.splitlines()[1:]
    assert all("where its date stands" in line for line in problems), problems
