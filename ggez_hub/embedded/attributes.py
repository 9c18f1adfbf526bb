"""Which files are stored with LFS, as `.gitattributes`, size and content decide."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from dulwich.attrs import GitAttributes, Pattern, parse_git_attributes
from dulwich.ignore import IgnoreFilter

LFS_THRESHOLD: Final = 5 << 20
SAMPLE_BYTES: Final = 512
ATTRIBUTES_FILE: Final = ".gitattributes"

# fmt: off
_PATTERNS: Final = (
    "*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib", "*.lfs.*",
    "*.mlmodel", "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot", "*.parquet", "*.pb",
    "*.pickle", "*.pkl", "*.pt", "*.pth", "*.rar", "*.safetensors", "saved_model/**/*", "*.tar.*",
    "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip", "*.zst", "*tfevents*",
)
# fmt: on
_LFS: Final = "filter=lfs diff=lfs merge=lfs -text"

# What the Hub writes into the first commit of a repo.
DEFAULT_ATTRIBUTES: Final = "".join(f"{pattern} {_LFS}\n" for pattern in _PATTERNS).encode()


class Attributes:
    """The `.gitattributes` of one tree."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    @cached_property
    def _rules(self) -> GitAttributes:
        lines = io.BytesIO(self.content)
        return GitAttributes(
            [(Pattern(pattern), attributes) for pattern, attributes in parse_git_attributes(lines)]
        )

    def tracks(self, path: str) -> bool:
        """Whether a rule sends `path` to LFS."""
        return self._rules.match_path(path.encode()).get(b"filter") == b"lfs"

    def wants_lfs(self, path: str, size: int, sample: bytes) -> bool:
        """Whether a file belongs in LFS: by a rule, by its size, or because it is not text.

        `sample` is the beginning of the file. Empty files and git's own files never do.
        """
        if size == 0 or path.rpartition("/")[2] in {ATTRIBUTES_FILE, ".gitignore"}:
            return False
        return size > LFS_THRESHOLD or self.tracks(path) or is_binary(sample)

    def including(self, paths: Iterable[str]) -> bytes:
        """The content with a rule added for each of `paths` that no rule tracks.

        Without one, git-lfs would check the pointer out in place of the file.
        """
        missing = [path for path in paths if not self.tracks(path)]
        content = self.content
        if missing and content and not content.endswith(b"\n"):
            content += b"\n"
        return content + b"".join(f"{_quoted(path)} {_LFS}\n".encode() for path in missing)


def is_binary(sample: bytes) -> bool:
    """Whether the beginning of a file is something other than UTF-8 text."""
    if b"\0" in sample:
        return True
    try:
        # A character that is cut at the end of the sample is no fault of the file.
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=len(sample) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return True
    return False


def ignored(rules: bytes, path: str) -> bool:
    """Whether a `.gitignore` with the content `rules` leaves `path` out of commits."""
    ignore = IgnoreFilter(line.rstrip(b"\r") for line in rules.split(b"\n") if line.strip())
    parts = path.split("/")
    folders = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    return any(ignore.is_ignored(candidate) for candidate in (*folders, path))


def _quoted(path: str) -> str:
    # Attributes are split at blanks and patterns know wildcards: both are matched by `?` here.
    return "".join("?" if character in ' \t"*[]#!' else character for character in path)
