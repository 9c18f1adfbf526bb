"""Copies of held-out pictures and texts: how many are found, and how many that are none.

    found        of 60 photographs and of 60 emoji of the demo that are held out, by what was done
                 to the copy; before: pHash within 6 of 64 bits, as the filter was until then
    false        of the 1,368 emoji of each of two styles, and of the photographs, each compared with
                 all the others: those that match another one. The limits of
                 ggez_hub.data.held_out.alignment were chosen on the photographs and the first style
    texts        what is found of held-out questions whose pictures are others, by what was changed
    cost         processor time for a picture, and bytes

The photographs are those of Debian's `gcompris-qt-data` (CC-BY-SA and GPL; they are downloaded to a
temporary folder and not kept), or the pictures in the folder GGEZ_BENCH_PHOTOS. Without either,
only the emoji are measured.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ggez_hub.data.held_out import views
from ggez_hub.data.held_out.alignment import compare
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.held_out.portraits import BYTES
from ggez_hub.data.pictures import PictureHash, hash_picture
from ggez_hub.data.rows import Row

HELD = 60
# What the filter compared before: bits of 64.
DISTANCE = 6
PACKAGE = "gcompris-qt-data"
# Parts of the package that hold photographs.
PARTS = (
    "categorization", "details", "erase", "explore_farm_animals", "explore_monuments",
    "explore_world_animals", "explore_world_music",
)  # fmt: skip
QUALITY = 85


class Shown(NamedTuple):
    """A picture with its name."""

    name: str
    content: bytes


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"emoji": emoji("test"), "emoji of another style": emoji("validation")}
        if photographs := sorted(photos(folder), key=lambda shown: sha256(shown.content).digest()):
            pictures = {"photographs": photographs, **pictures}
        for kind, shown in pictures.items():
            step = 1 if kind == "photographs" else len(shown) // HELD
            found(kind, shown[::step][:HELD], folder)
        for kind, shown in pictures.items():
            false(kind, shown)
        if photographs:
            strangers(photographs[:HELD], photographs[HELD:], folder)
        texts(folder)


def emoji(split: str) -> list[Shown]:
    """The demo's pictures of one style: Noto's are `test`, Fluent's flat ones `validation`."""
    import pyarrow.parquet as pq

    import demo_world

    assets = Path(demo_world.__file__).parent / "assets"
    table = pq.read_table(assets / "emoji-names" / "data" / f"{split}.parquet")
    return [
        Shown(name, cell["bytes"])
        for name, cell in zip(table["en"].to_pylist(), table["image"].to_pylist(), strict=True)
    ]


def photos(folder: Path) -> Iterator[Shown]:
    """Photographs of the folder that is named, or of the package; none where it cannot be had."""
    if named := os.environ.get("GGEZ_BENCH_PHOTOS"):
        for path in sorted(Path(named).iterdir()):
            yield Shown(path.name, path.read_bytes())
        return
    get, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if not (get and unpack):
        print("no photographs: this is not Debian; name a folder with GGEZ_BENCH_PHOTOS")
        return
    done = subprocess.run(
        [get, "download", "-q", PACKAGE], cwd=folder, capture_output=True, check=False
    )
    if done.returncode:
        print(f"no photographs: {PACKAGE} cannot be downloaded: run `apt-get update` first")
        return
    (package,) = folder.glob("*.deb")
    subprocess.run([unpack, "-x", package, folder / "x"], check=True)
    for path in sorted(folder.glob("x/usr/share/gcompris-qt/rcc/*.rcc")):
        if path.stem in PARTS:
            for number, content in enumerate(webp_in(path.read_bytes())):
                yield Shown(f"{path.stem}/{number}", content)


def webp_in(content: bytes) -> Iterator[bytes]:
    """The WebP pictures inside a file that are large enough to be photographs."""
    place = content.find(b"RIFF")
    while place >= 0:
        size = int.from_bytes(content[place + 4 : place + 8], "little") + 8
        part = content[place : place + size]
        if part[8:12] == b"WEBP" and size > 8000:
            picture = Image.open(io.BytesIO(part))
            if picture.mode == "RGB" and min(picture.size) >= 180:
                yield part
        place = content.find(b"RIFF", place + 4)


def clip(picture: Image.Image) -> Image.Image:
    """CLIP's preprocessing: the shorter side to 224, and the square in the middle."""
    scale = 224 / min(picture.size)
    size = (max(224, round(picture.width * scale)), max(224, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
    return picture.crop((left, top, left + 224, top + 224))


def caption(picture: Image.Image) -> Image.Image:
    """A white bar below, with text."""
    bar = max(12, picture.height * 15 // 100)
    padded = Image.new("RGB", (picture.width, picture.height + bar), "white")
    padded.paste(picture)
    font = ImageFont.load_default(size=max(8, bar * 0.6))
    ImageDraw.Draw(padded).text(
        (picture.width // 20, picture.height + bar // 10), "When the food is ready", "black", font
    )
    return padded


def cut(
    left: float, top: float, right: float, bottom: float
) -> Callable[[Image.Image], Image.Image]:
    """Cuts off shares of the sides."""
    return lambda p: p.crop(
        (
            int(p.width * left),
            int(p.height * top),
            int(p.width * (1 - right)),
            int(p.height * (1 - bottom)),
        )
    )


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded, half size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "another shape, 224 x 224": lambda p: p.resize((224, 224)),
    "grey": lambda p: p.convert("L"),
    "CLIP's resize and square crop": clip,
    "black border of 8 %": lambda p: ImageOps.expand(p, max(p.size) * 8 // 100, "black"),
    "white border of 5 %": lambda p: ImageOps.expand(p, max(p.size) * 5 // 100, "white"),
    "caption bar of 15 %": caption,
    "mirrored": ImageOps.mirror,
    "10 % less at each side": cut(0.1, 0.1, 0.1, 0.1),
    "10 % less at one side": cut(0.1, 0, 0, 0),
    "20 % less at a corner": cut(0.2, 0.2, 0, 0),
    "mirrored, and CLIP's crop": lambda p: clip(ImageOps.mirror(p)),
    "CLIP's crop, and a caption bar": lambda p: caption(clip(p)),
    "turned by 90 degrees": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": lambda p: p.transpose(Image.Transpose.ROTATE_180),
    "turned by 2 degrees": lambda p: p.rotate(2, Image.Resampling.BICUBIC),
    "turned by 5 degrees": lambda p: p.rotate(5, Image.Resampling.BICUBIC),
}


def encoded(picture: Image.Image) -> bytes:
    """The picture as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def index(shown: list[Shown], place: Path) -> tuple[HeldOutMatcher, list[PictureHash]]:
    """The pictures held out, without texts; and what was seen of them."""
    place.unlink(missing_ok=True)
    held = HeldOutMatcher(place, 0.7)
    seen = [hash_picture(one.content, portrait=True) for one in shown]
    for number, looked in enumerate(seen):
        portrait = looked.portrait.packed() if looked.portrait else None
        held.add(Row(str(number), "s", sha256=looked.sha256, portrait=portrait), number)
    return held, seen


def near(one: PictureHash, other: PictureHash) -> bool:
    """Whether the filter took two pictures for copies before."""
    if one.phash is None or other.phash is None:
        return False
    return (one.phash ^ other.phash).bit_count() <= DISTANCE


NOTHING = ExampleText("", "")


def found(kind: str, shown: list[Shown], folder: Path) -> None:
    """Print how many copies are found, by what was done to them."""
    held, seen = index(shown, folder / "held.sqlite")
    with held:
        print(f"found of {len(shown)} {kind}: before, now, and as what")
        for name, change in CHANGES.items():
            before = now = 0
            kinds: dict[str, int] = {}
            for number, one in enumerate(shown):
                copy = encoded(change(Image.open(io.BytesIO(one.content)).convert("RGB")))
                looked = hash_picture(copy, portrait=True)
                before += near(looked, seen[number])
                leak = held.match(looked.sha256, looked.portrait, NOTHING)
                if leak is not None and leak.name == str(number):
                    now += 1
                    kinds[leak.kind] = kinds.get(leak.kind, 0) + 1
            said = ", ".join(f"{what} {count}" for what, count in sorted(kinds.items()))
            print(f"  {name:32} {before:3} {now:3}  {said}", flush=True)


def false(kind: str, shown: list[Shown]) -> None:
    """Print how many pictures match another one, and what that costs."""
    seen = [hash_picture(one.content, portrait=True) for one in shown]
    hashes = np.array([looked.phash or 0 for looked in seen], np.uint64)
    bits = np.bitwise_count(hashes[:, None] ^ hashes)
    np.fill_diagonal(bits, 64)
    before = int((bits.min(axis=1) <= DISTANCE).sum())
    shown = [one for one, looked in zip(shown, seen, strict=True) if looked.portrait is not None]
    portraits = [looked.portrait for looked in seen if looked.portrait is not None]
    gallery = views.ViewIndex(portraits)
    matches = []
    start = time.process_time()
    for number, portrait in enumerate(portraits):
        # The picture itself takes places that are given to others.
        found = gallery.candidates(portrait, views.MOST + views.EACH)
        others = [one for one in found if one.picture != number][: views.MOST]
        held = [portraits[one.picture] for one in others]
        for one, evidence in zip(others, compare(portrait, others, held), strict=True):
            if evidence is not None and evidence.decides(one.turn == views.Turn()):
                matches.append((number, one.picture))
                break
    spent = time.process_time() - start
    print(f"matches among {len(shown)} {kind}: before {before}, now {len(matches)}")
    for one, other in matches:
        print(f"  {shown[one].name} is taken for {shown[other].name}")
    print(f"  {1000 * spent / len(shown):.1f} ms a picture, {len(shown)} held out")
    start = time.process_time()
    for picture in shown:
        hash_picture(picture.content)
    middle = time.process_time()
    for picture in shown:
        hash_picture(picture.content, portrait=True)
    plain, whole = middle - start, time.process_time() - middle
    print(
        f"  decoded and hashed {1000 * plain / len(shown):.1f} ms a picture, with its portrait "
        f"{1000 * whole / len(shown):.1f} ms; {BYTES:,} bytes of each that is held out",
        flush=True,
    )


def strangers(photographs: list[Shown], shown: list[Shown], folder: Path) -> None:
    """Print what a picture costs that is of another kind than those held out."""
    held, _ = index(photographs, folder / "held.sqlite")
    with held:
        seen = [hash_picture(one.content, portrait=True) for one in shown]
        held.match(b"", seen[0].portrait, NOTHING)
        start = time.process_time()
        matches = sum(
            held.match(looked.sha256, looked.portrait, NOTHING) is not None for looked in seen
        )
        spent = time.process_time() - start
    print(
        f"{len(shown)} photographs against {len(photographs)} others that are held out: {matches} "
        f"match, {1000 * spent / len(shown):.1f} ms a picture"
    )


PLACES = ("temple", "market", "bridge", "palace", "harbour", "village")
SIDES = ("northern", "southern", "eastern", "western")
ANSWERS = ("Ananda", "Shwezigon", "Borobudur", "Intramuros", "Wat Arun", "Hoan Kiem")
TEXTS: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "as it is": lambda q, a: (q, a),
    "a prefix": lambda q, a: (f"Answer the question in a word. {q}", a),
    "a changed word": lambda q, a: (q.replace(" shown ", " seen "), a),
    "options appended": lambda q, a: (f"{q}\nA. Kuta\nB. {a}\nC. Luang\nD. Sapa", f"B. {a}"),
    "another answer": lambda q, _: (q, "Something else"),
    "another question": lambda q, a: (f"Who built it, and when? {a} is old.", a),
}


def texts(folder: Path) -> None:
    """Print what is found of held-out questions with pictures, beside pictures of their own."""
    from ggez_hub.data.deduplication import minhash, similarities

    asked = [
        (f"What is the name of the {place} on the {side} side of the river shown here?", answer)
        for (place, answer) in zip(PLACES, ANSWERS, strict=True)
        for side in SIDES
    ]
    place = folder / "texts.sqlite"
    with HeldOutMatcher(place, 0.7) as held:
        for number, (question, answer) in enumerate(asked):
            said = chat(question, answer)
            row = Row(str(number), "s", messages=said, sha256=number.to_bytes(32))
            held.add(row, number)
        print(
            f"found of {len(asked)} held-out questions, with another picture: before with a picture "
            "(none) and without, now"
        )
        for name, change in TEXTS.items():
            before = now = 0
            for question, answer in asked:
                said = chat(*change(question, answer))
                text = "\n".join(part["content"] for part in said)
                before += bool(
                    similarities(minhash(text), [minhash(f"{question}\n{answer}")])[0] >= 0.9
                )
                now += held.match(bytes(31) + b"x", None, ExampleText.of(said)) is not None
            print(f"  {name:20} 0 {before:3} {now:3}")


def chat(question: str, answer: str) -> list[dict[str, str]]:
    """A question with its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
