"""What a filter costs by stage, what would change if duplicates were components, and what shards cost.

    stages      processor seconds of each stage, for 10,000 captions and for pictures; from these docs/scale.md
                and `filter --plan` have their estimates
    memory      the most that a task of each stage needs, each in a process of its own, for a tenth, a third
                and all of the rows in 2 and in 8 tasks
    groups      what joining one and four million rows that share a key takes: anonymous memory (pages that no
                file has) beside that of Python, and processor seconds                        aim flat
    workers     throughput of rules that compute, two processes against one, when both are started, and
                the time of all, with their start                                      aim >= 1.8
    duplicates  of captions that are shaped as those of public corpora: how many rows go if each has to
                be like a row that stays, and how many if those go too that are like one that goes;
                of these, how many are not themselves like the row that stays        bound 1 %
    questions   what dividing the questions of a model takes beside the model: a shard of eight of 10,000
                questions about pictures of 100 kB, and the joining, with a model that answers at once

The rows are GGEZ_BENCH_ROWS (default 40,000).
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.filter import LANGUAGE, write_spec, write_texts
from ggez_hub.data.deduplication import Signature, fingerprint, near_text_keys, similarities
from ggez_hub.data.duplicate_groups import PART, forest
from ggez_hub.data.duplicate_search import DuplicateSearch
from ggez_hub.data.pipeline import run_filter
from ggez_hub.data.spec import DuplicatesSpec, FilterSpec, HeldOutSpec, RegionFilter
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.meeting import Meeting, MetAnswers
from ggez_hub.evaluation.answers.outcomes import TaskRecord
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.benchmarks.benchmark_questions import ask_about
from ggez_hub.evaluation.benchmarks.loaders import Choice
from ggez_hub.evaluation.benchmarks.multiple_choice import LIKELIHOOD
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask
from ggez_hub.evaluation.models import ModelUnderTest
from ggez_hub.evaluation.models.generative_model import GenerativeModel, Posed
from ggez_hub.evaluation.sweep.run import measure
from ggez_hub.evaluation.sweep.tasks import Shard, answer_shard
from ggez_hub.execution import Engine, Executor, SharedFolder, Task
from ggez_hub.execution.tasks import Marked

ROWS = int(os.environ.get("GGEZ_BENCH_ROWS", "40000"))
PICTURES, HELD_CAPTIONS, HELD_PICTURES = 400, 1000, 60
SIMILARITY = 0.9
TEMPLATES = (
    "A photo of {a} in {b}",
    "A plate of {a} served on a wooden table in {b}, Thailand",
    "Traditional {a} dancers perform at the annual {b} festival in Southeast Asia",
    "Street vendor selling {a} at {b} market in the morning",
)


# Tasks that a stage is divided into.
TASKS = (2, 8)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        stages(Path(name))
        memory(Path(name))
        groups(Path(name))
        workers(Path(name))
        questions(Path(name))
    duplicates()


def captions(rows: int) -> list[str]:
    """8 % are copies, 8 % edited copies, 14 % of a template; the others of words by Zipf's law."""
    draw = random.Random(1)  # noqa: S311 - a corpus, not a secret
    syllables = [a + b for a in "bcdfghjklmnprstvwy" for b in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(6000)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    said: list[str] = []
    for _ in range(rows):
        kind = draw.random()
        if said and kind < 0.08:
            text = draw.choice(said)
        elif said and kind < 0.16:
            text = edited(draw.choice(said).split(), draw, words)
        elif kind < 0.30:
            of = " ".join(draw.choices(words[500:900], k=draw.randint(1, 2)))
            text = draw.choice(TEMPLATES).format(a=of, b=draw.choice(words[900:1300]))
        else:
            text = " ".join(
                draw.choices(words, cum_weights=weights, k=max(4, int(draw.gauss(18, 8))))
            )
        said.append(text)
    return said


def edited(parts: list[str], draw: random.Random, words: list[str]) -> str:
    """One word, or two, changed, added or left out."""
    for _ in range(draw.choice((1, 1, 1, 2))):
        place = draw.randrange(len(parts))
        how = draw.choice("cal")
        if how == "c":
            parts[place] = draw.choice(words)
        elif how == "a":
            parts.insert(place, draw.choice(words))
        elif len(parts) > 3:
            del parts[place]
    return " ".join(parts)


def write_corpus(folder: Path, keep: dict[str, object], rows: int = ROWS) -> FilterSpec:
    import pyarrow.parquet as pq

    write_texts(folder, rows, keep)
    place = folder / "rows.parquet"
    table = pq.read_table(place)
    table = table.set_column(table.schema.get_field_index("text"), "text", [captions(rows)])
    pq.write_table(table, place, row_group_size=5000)
    document = json.loads((folder / "spec.json").read_text())
    document["duplicates"] = {"by": "text", "similarity": SIMILARITY}
    return FilterSpec.model_validate(document)


def stages(folder: Path) -> None:
    """Print what each stage takes in one process, for captions and for pictures."""
    cheap: dict[str, object] = {
        "keep": "any",
        "rules": [{"evidence": "metadata"}, latin(), {"evidence": "gazetteer"}],
    }
    spec = write_corpus(folder, cheap)
    alone = spec.model_copy(update={"duplicates": "keep"})
    held = spec.sources[0].model_copy(update={"name": "held", "parquet": "held.parquet"})
    language = RegionFilter.model_validate(LANGUAGE)
    print_stages("captions, metadata, script and gazetteer", alone, folder, ROWS)
    asked = alone.model_copy(update={"keep_region": language})
    print_stages("captions, language", asked, folder, ROWS)
    print_stages("captions, near duplicates", spec, folder, ROWS)
    write_held_out(folder, HELD_CAPTIONS)
    asked = alone.model_copy(update={"held_out": HeldOutSpec(sources=[held])})
    print_stages(f"captions, {HELD_CAPTIONS} held out", asked, folder, ROWS - HELD_CAPTIONS)
    spec = write_pictures(folder / "pictures")
    print_stages("pictures", spec, folder / "pictures", PICTURES)
    held = spec.sources[0].model_copy(update={"name": "held", "parquet": "held.parquet"})
    write_held_out(folder / "pictures", HELD_PICTURES)
    asked = spec.model_copy(update={"held_out": HeldOutSpec(sources=[held])})
    print_stages(
        f"pictures, {HELD_PICTURES} held out", asked, folder / "pictures", PICTURES - HELD_PICTURES
    )


def print_stages(what: str, spec: FilterSpec, folder: Path, rows: int) -> None:
    """Print the processor seconds of a filter in one process."""
    took: dict[str, float] = {}
    last = [time.process_time()]

    def did(done: int, total: int, stage: str) -> None:
        now = time.process_time()
        took[stage] = took.get(stage, 0) + now - last[0]
        last[0] = now

    with tempfile.TemporaryDirectory(dir=folder) as out:
        run_filter(spec, folder, Path(out, "out"), did=did)
    shown = ", ".join(f"{stage} {took[stage] / rows * 10_000:.2f}" for stage in took)
    print(f"{what}: {shown} s for 10,000 rows", flush=True)


def write_held_out(folder: Path, rows: int) -> None:
    """Take rows of a folder out of its corpus, to be held out."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "rows.parquet")
    pq.write_table(table.slice(0, rows), folder / "held.parquet")
    pq.write_table(table.slice(rows), folder / "rows.parquet", row_group_size=5000)


def write_pictures(folder: Path) -> FilterSpec:
    """Pictures of about 100 kB, each with a caption, and a spec that looks for near duplicates of both."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    folder.mkdir()
    draw, cells = np.random.default_rng(1), []
    for _ in range(PICTURES):
        coarse = Image.fromarray(draw.integers(0, 255, (12, 16, 3), np.uint8))
        smooth = np.asarray(coarse.resize((800, 600), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + draw.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=78)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    print(f"pictures of {median(len(cell['bytes']) for cell in cells) / 1e3:.0f} kB", flush=True)
    table = pa.table({"image": cells, "text": captions(PICTURES)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=100)
    examples = [{"format": "caption", "answer": "text"}]
    write_spec(
        folder,
        {"picture": "image", "examples": examples},
        keep_region={"keep": "any", "rules": [latin()]},
    )
    document = json.loads((folder / "spec.json").read_text())
    return FilterSpec.model_validate(document | {"duplicates": {"similarity": SIMILARITY}})


@dataclass(frozen=True)
class Measured(Engine):
    """Runs each task in a new process; `peaks` is the most memory that a task of each stage took."""

    peaks: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def open(
        self, shared: Sequence[SharedFolder] = (), inputs: Sequence[Path] = ()
    ) -> Iterator[Executor]:
        yield self

    def run(self, task: Task, numbers: Sequence[int], device: str = "") -> Generator[int]:
        for number in numbers:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                stage, peak = pool.submit(peak_of, task, number).result()
            self.peaks[stage] = max(peak, self.peaks.get(stage, 0))
            yield number


def peak_of(task: Task, number: int) -> tuple[str, int]:
    """Run a task; its stage, and the most memory that this process had, in bytes."""
    assert isinstance(task, Marked)
    task(number)
    # What getrusage gives may be that of the parent.
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return task.markers.name, int(line) << 10


def memory(folder: Path, rows: int = ROWS) -> None:
    """Print the memory of tasks by stage, for three sizes and two numbers of tasks."""
    sizes = (rows // 10, rows // 3, rows)
    found = {}
    for size in sizes:
        spec = write_corpus(folder, {"keep": "any", "rules": [latin()]}, size)
        for tasks in TASKS:
            engine = Measured()
            run_filter(spec, folder, folder / f"{size}-{tasks}", engine=engine, shards=tasks)
            found[size, tasks] = engine.peaks
    for stage in found[sizes[0], TASKS[0]]:
        peaks = [
            f"{tasks} tasks "
            + ", ".join(f"{found[size, tasks][stage] / 1e6:.0f}" for size in sizes)
            for tasks in TASKS
        ]
        print(f"{stage}: {'; '.join(peaks)} MB for {', '.join(f'{n:,}' for n in sizes)} rows")


def groups(folder: Path, rows: int = 1_000_000) -> None:
    """Print what the groups of rows that share one key take, for so many rows and for four times as many."""
    for count in (rows, 4 * rows):
        place = folder / f"groups-{count}"
        (place / "links").mkdir(parents=True)
        numbers = np.arange(1, count + 1)
        links = np.stack(
            [np.zeros_like(numbers), PART * (numbers // 5000) + numbers % 5000], axis=1
        )
        np.save(place / "links" / "000000.npy", links)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peak, seconds = pool.submit(anonymous_peak, place).result()
        print(f"groups of {count:,} linked rows: {peak / 1e6:.0f} MB, {seconds:.1f} s")


def anonymous_peak(folder: Path) -> tuple[int, float]:
    """Join the groups of a folder: the anonymous bytes that it takes, and processor seconds."""
    search = DuplicateSearch(folder, DuplicatesSpec(by="text"))
    before, seen, done = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(anonymous())

    watching = threading.Thread(target=watch)
    watching.start()
    begun = time.process_time()
    search.group()
    seconds = time.process_time() - begun
    done.set()
    watching.join()
    return max(seen) - before, seconds


def anonymous() -> int:
    (line,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) << 10


def workers(folder: Path) -> None:
    """Print how much faster two processes are than one: when both are started, and in all."""
    rows = 5 * ROWS
    spec = write_corpus(folder, LANGUAGE, rows)
    rates, walls = [], []
    for count in (1, 2):
        ends: list[float] = []

        def did(done: int, total: int, what: str, ends: list[float] = ends) -> None:
            if what == "screening":
                ends.append(time.perf_counter())

        begun = time.perf_counter()
        run_filter(spec, folder, folder / f"by-{count}", engine=Engine("local", count), did=did)
        walls.append(time.perf_counter() - begun)
        # In the first quarter processes start.
        first = len(ends) // 4
        rates.append((len(ends) - 1 - first) / (ends[-1] - ends[first]))
    print(
        f"screening of {rows:,} rows: one process {rates[0]:.2f} tasks a second, two {rates[1]:.2f}: "
        f"{rates[1] / rates[0]:.2f}"
    )
    print(f"in all {walls[0]:.1f} s, {walls[1]:.1f} s: {walls[0] / walls[1]:.2f}")


QUESTIONS, SHARDS = 10_000, 8


class Instant:
    """A writer that answers at once."""

    def prompt(self, question: str, sees: bool = True) -> str:
        return f"USER: {question} ASSISTANT:"

    def log_likelihoods(self, posed: Sequence[Posed]) -> list[list[float]]:
        return [[-len(own.prompt) / 7] * len(own.options) for own in posed]

    def unconditional(self, options: Sequence[str]) -> list[tuple[float, int]]:
        return [(-1.0, len(option)) for option in options]

    def replies(self, posed: Sequence[Posed]) -> list[str]:
        return ["A"] * len(posed)


def questions(folder: Path) -> None:
    """Print the processor seconds of a shard and of the joining, and the bytes of an answer."""
    benchmark = next(one for one in find_benchmarks("cvqa") if one.side == "global")
    draw = random.Random(1)  # noqa: S311 - pictures that nobody decodes
    items = [
        Choice(
            id=str(n), image=str(n), picture=draw.randbytes(100_000), country="th", language="en",
            question=f"What is shown in picture {n}?", options=("a", "b", "c", "d"), gold=0,
        )
        for n in range(QUESTIONS)
    ]  # fmt: skip
    record = TaskRecord(metric="choice", side="global")
    task = PreparedTask("t", record, {"test": ask_about(benchmark, items)}, LIKELIHOOD)
    meeting = Meeting()
    known = MetAnswers(meeting, AnswerCache())
    model = ModelUnderTest(
        "0" * 64,
        (LIKELIHOOD,),
        searches=False,
        open=lambda known: GenerativeModel(Instant(), known),
    )
    took = []
    for number in range(SHARDS):
        meeting.go_to(folder / "met", f"{number}", "*")
        begun = time.process_time()
        answer_shard(model, [task], known, Shard(number, SHARDS))
        took.append(time.process_time() - begun)
    meeting.go_to(folder / "met", "others")
    begun = time.process_time()
    measure([model], [task], known=lambda _: known)
    joined = time.process_time() - begun
    size = sum(path.stat().st_size for path in (folder / "met").iterdir()) / QUESTIONS
    print(
        f"{QUESTIONS:,} questions in {SHARDS} shards: {median(took):.1f} s a shard, {joined:.1f} s to "
        f"join them, {size:.0f} bytes an answer"
    )


def latin() -> dict[str, object]:
    return {"evidence": "script", "scripts": ["Latn"]}


def duplicates() -> None:
    """Print how many rows components would take, and which of them are not like what stays."""
    rule = DuplicatesSpec(by="text", similarity=SIMILARITY)
    rows = []
    for number, text in enumerate(captions(ROWS)):
        key, sketch = fingerprint(rule, None, text)
        rows.append(Signature(str(number), key, None, sketch))
    pairs, kept_by = set(), {}
    groups: dict[object, list[int]] = {}
    for number, (row, keys) in enumerate(zip(rows, near_text_keys(rows, rule), strict=True)):
        for key in (row.key, *keys):
            groups.setdefault(key, []).append(number)
    for members in groups.values():
        for place, number in enumerate(members[1:], 1):
            before = members[:place]
            alike = similarities(sketch_of(rows[number]), [sketch_of(rows[n]) for n in before])
            pairs |= {(n, number) for n, s in zip(before, alike, strict=True) if s >= SIMILARITY}
    for first, second in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        if first not in kept_by and second not in kept_by:
            kept_by[second] = first
    joined = forest(np.array(sorted(pairs)))
    direct = sum((first, second) in pairs for first, second in joined.tolist())
    share = 1 - direct / len(joined)
    print(
        f"{ROWS:,} rows: {len(kept_by):,} are like one that stays; components take {len(joined):,}, "
        f"of which {share:.1%} are not themselves like the one that stays"
    )


def sketch_of(row: Signature) -> bytes:
    assert row.minhash is not None
    return row.minhash
