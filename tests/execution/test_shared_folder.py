"""What a folder shares with other machines."""

from __future__ import annotations

from ggez_hub.execution import SharedFolder


def test_a_folder_or_a_file_of_it(tmp_path):
    for name in ("a/b", "a/.git/config", "a/.cache/x", "c", ".answers/key/d", ".answers/other/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")

    def files(shared):
        return [path.relative_to(tmp_path).as_posix() for path in shared.files()]

    assert sorted(files(SharedFolder(tmp_path))) == [
        ".answers/key/d", ".answers/other/e", "a/b", "c", "link/b",
    ]  # fmt: skip
    assert files(SharedFolder(tmp_path, (".answers/key", "absent"))) == [".answers/key/d"]
    assert files(SharedFolder.holding(tmp_path / "c")) == ["c"]
    assert files(SharedFolder.holding(tmp_path / "a")) == ["a/b"]
