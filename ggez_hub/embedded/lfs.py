"""Large files: the pointer that stands for one in git, the objects on disk, and signed addresses.

Objects are stored once by their sha256 for all repos. Which repo may serve which object is kept in the
catalog: knowing a hash must not be enough to read a file of a private repo.
Pointer format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import codecs
import hashlib
import hmac
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar

from dulwich.attrs import GitAttributes, Pattern, parse_git_attributes
from dulwich.ignore import IgnoreFilter
from dulwich.ignore import Pattern as IgnorePattern
from filelock import FileLock

from ggez_hub.atomic_files import sync
from ggez_hub.embedded.errors import InvalidRequestError, PermissionDeniedError, TooLargeError
from ggez_hub.linear_patterns import BadPattern, compile_pattern

CHUNK: Final = 1 << 20
LIFETIME: Final = 3600  # seconds for which a signed address is valid

SHA256: Final = re.compile(r"[0-9a-f]{64}")
_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"oid sha256:([0-9a-f]{64})\n"
    rb"size (0|[1-9][0-9]{0,18})\n"
)

Action = Literal["upload", "download"]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What git stores in place of a large file."""

    oid: str
    size: int

    def encode(self) -> bytes:
        """The canonical text of the pointer."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n"
        ).encode()

    @classmethod
    def parse(cls, data: bytes) -> Pointer | None:
        """The pointer in `data`, or None if it is another file."""
        match = _POINTER.fullmatch(data)
        return cls(match[1].decode(), int(match[2])) if match else None


class Upload:
    """An object on its way in: written to a temporary file and hashed as it comes."""

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._limit = limit
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; raises TooLargeError if more came than was announced."""
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise TooLargeError(f"the upload is longer than the announced {self._limit} bytes")
        self._hash.update(chunk)
        self._file.write(chunk)

    @property
    def pointer(self) -> Pointer:
        """The pointer to what has been written so far."""
        return Pointer(self._hash.hexdigest(), self._size)


class LfsObjects:
    """The objects of all repos, by sha256, below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def path(self, oid: str) -> Path:
        """Where the object is, or would be; raises InvalidRequestError if `oid` is not a sha256."""
        if not SHA256.fullmatch(oid):
            raise InvalidRequestError(f"{oid[:80]!r} is not a sha256")
        return self._root / oid[:2] / oid[2:4] / oid

    def lock(self) -> FileLock:
        """Held while an object gains or loses its last reference."""
        return FileLock(self._root / "references.lock")

    @contextmanager
    def receive(
        self, register: Callable[[Pointer], None], expected: Pointer | None = None
    ) -> Iterator[Upload]:
        """An upload that is stored under its sha256 when the block ends, and removed if the block fails.

        `register` is called with the pointer once the object is in place, before anything may
        remove it. Raises InvalidRequestError if what came is not `expected`.
        """
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                upload = Upload(file, expected.size if expected else None)
                yield upload
            pointer = upload.pointer
            if expected not in {None, pointer}:
                raise InvalidRequestError(
                    "The upload is not the announced object: sha256 or size differ"
                )
            sync(temporary)
            target = self.path(pointer.oid)
            with self.lock():
                if target.exists():
                    register(pointer)
                    return
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.chmod(0o644)
                temporary.replace(target)
                sync(target.parent)
                try:
                    register(pointer)
                except BaseException:
                    target.unlink()
                    raise
        finally:
            temporary.unlink(missing_ok=True)

    def add(self, source: bytes | Path, register: Callable[[Pointer], None]) -> Pointer:
        """Store bytes or the content of a file; a file is read in chunks."""
        with self.receive(register) as upload:
            if isinstance(source, bytes):
                upload.write(source)
            else:
                with source.open("rb") as file:
                    while chunk := file.read(CHUNK):
                        upload.write(chunk)
        return upload.pointer

    def remove(self, oid: str) -> None:
        """Delete an object; absent is fine."""
        self.path(oid).unlink(missing_ok=True)

    def stored(self) -> Iterator[Path]:
        """The files of all objects."""
        return self._root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]/*")

    def leftovers(self) -> Iterator[Path]:
        """The files of uploads that have not ended, or were killed."""
        return self._incoming.iterdir()


class Signer:
    """Signs addresses that carry their own permission, for transfers that come without a token.

    It is the permission to send one object into one repo, or to fetch it from there, for LIFETIME; the
    tokens of Xet are made in the same way.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, *what: object) -> dict[str, str | int]:
        """The part of a query that permits `what` from now on."""
        expires = int(time.time()) + LIFETIME
        return {"expires": expires, "signature": self._signature(what, expires)}

    def check(self, *what: object, expires: int, signature: str) -> None:
        """Raise PermissionDeniedError if the signature is not ours, or the time is over."""
        if not hmac.compare_digest(self._signature(what, expires).encode(), signature.encode()):
            raise PermissionDeniedError("The signature of this address is not valid")
        if expires < time.time():
            raise PermissionDeniedError("This address has expired")

    def _signature(self, what: tuple[object, ...], expires: int) -> str:
        text = "\n".join(map(str, (*what, expires)))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


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
            [
                (_in_linear_time(Pattern(pattern)), attributes)
                for pattern, attributes in parse_git_attributes(lines)
            ]
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
        # A character that is cut at the end of the sample is not a fault of the file.
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=len(sample) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return True
    return False


P = TypeVar("P", Pattern, IgnorePattern)


def _in_linear_time(pattern: P) -> P:
    """The same pattern of a stranger, matched by RE2: `*a*a*a*b` takes dulwich's engine for ever.

    Raises InvalidRequestError for one that is too long.
    """
    for name in ("_re", "_name_re", "_regex"):
        compiled = getattr(pattern, name, None)
        if isinstance(compiled, re.Pattern):
            try:
                linear = compile_pattern(compiled.pattern.replace(b"\\Z", b"\\z"))
            except BadPattern as error:
                raise InvalidRequestError(f"a pattern of files cannot be read: {error}") from error
            setattr(pattern, name, linear)
    return pattern


def ignored(rules: bytes, path: str) -> bool:
    """Whether a `.gitignore` with the content `rules` leaves `path` out of commits.

    Raises InvalidRequestError for a pattern that cannot be read.
    """
    ignore = IgnoreFilter(line.rstrip(b"\r") for line in rules.split(b"\n") if line.strip())
    for pattern in ignore.patterns:
        _in_linear_time(pattern)
    parts = path.split("/")
    folders = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    return any(ignore.is_ignored(candidate) for candidate in (*folders, path))


def _quoted(path: str) -> str:
    # Attributes are split at blanks and patterns know wildcards: both are matched by `?` here.
    return "".join("?" if character in ' \t"*[]#!' else character for character in path)
