"""The quality filter against what it cannot be faster than, with the same rows and workers.

    rules      metadata, script and gazetteer   against a no-op `datasets.map`       aim >= 0.5
    language   language identification alone    against the bare identifier          aim >= 0.8
    reward     CLIPScore on pictures            against the bare model's batches     aim >= 0.85
    memory     peak memory at N / 16, N / 4 and N rows of text, as they are and with near duplicates
               removed                           against that of a quarter         bound 1.1, and the
                                                 index's own cache of 64 MiB where it has one

Both sides of a ratio run in turn in processes of their own, and what counts is their processor time
(user and system, children included): the machine may be shared. A no-op map reads the same parquet
file, which it converts to Arrow first; the filter writes parquet and a report. The rows are GGEZ_BENCH_ROWS
(default 100,000; the aims are for 1,000,000, where what is paid once weighs less).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from ggez_hub.data.deduplication import CACHE_KIB

ROWS = int(os.environ.get("GGEZ_BENCH_ROWS", "100000"))
PICTURES = int(os.environ.get("GGEZ_BENCH_PICTURES", "1500"))
WORKERS = 2
PAIRS = 3
# How much more memory four times the rows may need, beside the cache of the index.
GROWTH = 1.1
TEXTS = (
    "A woman is cooking noodle soup for tourists at the floating market, number {n}",
    "ผู้หญิงกำลังทำก๋วยเตี๋ยวเรือให้นักท่องเที่ยวที่ตลาดน้ำ {n}",
    "Một người phụ nữ đang nấu phở cho khách du lịch ở chợ nổi {n}",
    "Seorang wanita sedang memasak sup mi untuk turis di pasar terapung {n}",
)
RULES = {
    "keep": 2,
    "rules": [
        {"evidence": "metadata"},
        {"evidence": "script", "scripts": ["Thai", "Latn"]},
        {"evidence": "gazetteer", "names_in": ["en", "th", "vi", "id"]},
    ],
}
LANGUAGE = {"keep": "all", "rules": [{"evidence": "language", "languages": ["th", "vi", "id"]}]}
# Prints {"cpu": seconds of the process and its children, "peak": bytes of the process}: getrusage's
# own figure begins with what the parent had.
MEASURED = """
import json, re, resource, sys
from pathlib import Path
folder, workers = Path(sys.argv[1]), int(sys.argv[2])
{body}
own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
cpu = sum(u.ru_utime + u.ru_stime for u in (own, children))
(peak,) = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(json.dumps({{"cpu": cpu, "peak": int(peak) * 1024}}))
"""
FILTER = """
import tempfile
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.spec import FilterSpec
from ggez_hub.execution import Engine
if __name__ == "__main__":
    spec = FilterSpec.model_validate_json((folder / "spec.json").read_text())
    with tempfile.TemporaryDirectory() as out:
        run_filter(spec, folder, Path(out) / "out", engine=Engine("local", workers))
"""
MAP = """
import datasets, tempfile
datasets.disable_progress_bars()
with tempfile.TemporaryDirectory() as cache:
    rows = datasets.load_dataset("parquet", data_files=str(folder / "rows.parquet"), split="train",
                                 cache_dir=cache)
    rows.map(lambda row: row, num_proc=workers if workers > 1 else None)
"""
IDENTIFIER = """
import pyarrow.parquet as pq
from ggez_hub.regions.text_language import identifier
known = identifier()
for text in pq.read_table(folder / "rows.parquet")["text"].to_pylist():
    known.classify(text)
"""
MODEL = """
import io
import pyarrow.parquet as pq
from PIL import Image
from ggez_hub.data.scorers.clip_score import open_clip_like
clip = open_clip_like(folder / "base", "open_clip", "cpu", 32)
for batch in pq.ParquetFile(folder / "rows.parquet").iter_batches(32):
    pictures = [Image.open(io.BytesIO(c["bytes"])).convert("RGB") for c in batch["image"].to_pylist()]
    clip.pictures(pictures), clip.texts(batch["text"].to_pylist())
"""


def main() -> None:
    """Run the four measurements."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        rules, language, pictures = (root / part for part in ("rules", "language", "pictures"))
        write_texts(rules, ROWS, RULES)
        compare(f"rules, {ROWS:,} rows, {WORKERS} workers / no-op map", rules, MAP, WORKERS)
        write_texts(language, ROWS, LANGUAGE)
        compare(f"language, {ROWS:,} rows / bare identifier", language, IDENTIFIER, 1)
        write_pictures(pictures)
        compare(f"reward, {PICTURES:,} pictures / bare model", pictures, MODEL, 1)
        memory(root / "memory")


def compare(label: str, folder: Path, bare: str, workers: int) -> None:
    """Print throughput of the filter over that of `bare`: the median of pairs."""
    ratios = []
    for _ in range(PAIRS):
        ours, theirs = (measured(body, folder, workers)["cpu"] for body in (FILTER, bare))
        ratios.append(theirs / ours)
        print(f"  {theirs:.1f} s / {ours:.1f} s of processor time", flush=True)
    middle = statistics.median(ratios)
    print(f"{label}: {middle:.2f} [{min(ratios):.2f}, {max(ratios):.2f}] over {PAIRS} pairs")


def measured(body: str, folder: Path, workers: int) -> dict[str, float]:
    """Run a body in a process of its own."""
    script = folder / "body.py"
    script.write_text(MEASURED.format(body=body), encoding="utf-8")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "HF_HOME": str(folder / "hf"),
    }
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(workers)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_texts(folder: Path, rows: int, keep: dict[str, object]) -> None:
    """Captions in four languages, and a spec that keeps most of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    schema = pa.schema({"id": pa.string(), "text": pa.string(), "country": pa.string()})
    countries = ("th", "vn", "fr", "id", "de")
    with pq.ParquetWriter(folder / "rows.parquet", schema) as writer:
        for start in range(0, rows, 10_000):
            numbers = range(start, min(start + 10_000, rows))
            columns = {
                "id": [str(n) for n in numbers],
                "text": [TEXTS[n % 4].format(n=n) for n in numbers],
                "country": [countries[n % 5] for n in numbers],
            }
            writer.write_table(pa.table(columns, schema))
    columns = {
        "id": "id",
        "country": "country",
        "examples": [{"format": "caption", "answer": "text"}],
    }
    write_spec(folder, columns, keep_region=keep, pictures="ignored")


def write_pictures(folder: Path) -> None:
    """Pictures of the demo world with their names, and its model as the scorer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ggez_hub import demo

    assets = Path(demo.__file__).parent / "assets"
    folder.mkdir()
    (folder / "base").symlink_to(assets / "embedding" / "base")
    names = pq.read_table(assets / "emoji-names" / "data" / "test.parquet")
    cells, texts = names["image"].to_pylist(), names["en"].to_pylist()
    order = [n % len(cells) for n in range(PICTURES)]
    table = pa.table(
        {"image": [cells[n] for n in order], "text": [texts[n] or "a picture" for n in order]}
    )
    pq.write_table(table, folder / "rows.parquet", row_group_size=1000)
    columns = {
        "picture": "image",
        "examples": [{"format": "caption", "answer": "text", "language": {"value": "en"}}],
    }
    scorer = {"kind": "clip_score", "library": "open_clip", "model": "base", "languages": ["en"]}
    write_spec(
        folder,
        columns,
        keep_region={
            "keep": "all",
            "rules": [{"evidence": "script", "scripts": ["Latn"], "share": 0.01}],
        },
        reward={"scorer": scorer, "threshold": 0.0, "comparison": ">="},
    )


def write_spec(folder: Path, columns: dict[str, object], **keys: object) -> None:
    """The spec of a folder's rows."""
    source = {"name": "rows", "parquet": "rows.parquet", "license": "mit", "columns": columns}
    spec = {
        "kind": "filter",
        "region": "southeast-asia",
        "sources": [source],
        "duplicates": "keep",
        **keys,
    }
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def memory(folder: Path) -> None:
    """Peak memory of the filter at three sizes; what was seen is on disk, but for a cache."""
    for label, duplicates, cache in (
        ("as they are", "keep", 0),
        ("near duplicates removed", {"by": "text", "similarity": 0.95}, CACHE_KIB << 10),
    ):
        peaks = []
        for rows in (ROWS // 16, ROWS // 4, ROWS):
            write_texts(folder, rows, RULES)
            spec = json.loads((folder / "spec.json").read_text()) | {"duplicates": duplicates}
            (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
            peaks.append(measured(FILTER, folder, 1)["peak"])
            print(f"  {rows:,} rows {label}: {peaks[-1] / 1e6:.0f} MB at the most", flush=True)
        bound = GROWTH * peaks[1] + cache
        verdict = "within" if peaks[2] <= bound else "ABOVE"
        print(
            f"memory, {label}: {peaks[2] / peaks[1]:.2f} of a quarter's, {verdict} the bound of "
            f"{bound / 1e6:.0f} MB"
        )
