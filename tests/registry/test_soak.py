"""`make soak`: `kill -9` of `pull` at any moment; the next pull is as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress

import pytest

from ggez_hub.registry.lock import differences, read_lock

from ..faults import wire

pytestmark = pytest.mark.slow

FORKED, FRESH = 90, 10

# Most of a fresh process is importing. This one has imported everything and forks for each command:
# kills meet downloading, merging and renaming.
ZYGOTE = """
import json, os, sys
import huggingface_hub.hf_api, mergekit, torch
import ggez_hub.cli.pull, ggez_hub.cli.pull_steps, ggez_hub.merging.merge
from ggez_hub.cli.main import main
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.argv = ["ggez-hub", *json.loads(line)]
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0), os.dup2(null, 1)
        main()
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Forked:
    """Commands as forks of a process that has imported everything."""

    def __init__(self, environment):
        self.zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment,
        )  # fmt: skip

    def start(self, arguments):
        self.zygote.stdin.write(json.dumps(arguments) + "\n")
        self.zygote.stdin.flush()
        return int(self.zygote.stdout.readline())

    def end(self):
        """The exit status of the last command; minus a signal."""
        return int(self.zygote.stdout.readline())

    def close(self):
        self.zygote.stdin.close()
        self.zygote.wait()


class Fresh:
    """Commands as a person starts them."""

    def __init__(self, environment):
        self.environment = environment

    def start(self, arguments):
        command = [sys.executable, "-m", "ggez_hub", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=self.environment)
        return self.process.pid

    def end(self):
        return self.process.wait()

    def close(self):
        pass


class Place:
    """The folders of a soak, with what may lie in them between two pulls."""

    def __init__(self, root, endpoint):
        self.root = root
        self.out, self.hub_cache = root / "work" / "thai", root / "hf" / "hub"
        self.arguments = ["pull", "--region", "th", "--hub", endpoint, "-o", str(self.out)]
        self.environment = os.environ | {
            "HF_HOME": str(root / "hf"),
            "HF_HUB_CACHE": str(self.hub_cache),
            "XDG_CACHE_HOME": str(root / "cache"),
            "TMPDIR": str(root / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        for name in ("work", "tmp", "cache"):
            (root / name).mkdir(parents=True)

    def forget(self, *, downloads):
        shutil.rmtree(self.out, ignore_errors=True)
        if downloads:
            shutil.rmtree(self.hub_cache, ignore_errors=True)

    def incomplete(self):
        return list(self.hub_cache.rglob("*.incomplete"))

    def moment(self):
        """What the killed pull was doing."""
        if self.out.exists():
            return "done"
        if (self.out.parent / f".{self.out.name}.partial").exists():
            return "writing"
        if self.incomplete():
            return "in a download"
        return "before writing"

    def whole(self):
        lock = read_lock(self.out / "ggez.lock")
        return not differences(lock, self.out)

    def lying_around(self):
        """What should not be there: another lock file than one, scratch folders, a second note."""
        tmp = self.root / "tmp"
        found = sorted(p.relative_to(tmp).as_posix() for p in tmp.rglob("*"))
        locks = [n for n in found if n.endswith(".lock")]
        notes = sorted(p.name for p in (self.root / "cache").glob("ggez-hub/pulls/*"))
        scratch = [n for n in found if ".scratch" in n]
        beside = [p.name for p in self.out.parent.iterdir() if p != self.out]
        return [*beside, *locks[1:], *scratch, *notes[1:]]


@contextmanager
def runner(kind, environment):
    started = kind(environment)
    try:
        yield started
    finally:
        started.close()


@contextmanager
def slow_line(endpoint):
    """The address of the hub over a line that takes its time: kills meet downloads too."""

    def slowly(data):
        time.sleep(0.05)
        return data

    with wire(endpoint, slowly) as line:
        yield line.endpoint


def timed(run, place):
    start = time.monotonic()
    run.start(place.arguments)
    assert run.end() == 0
    return time.monotonic() - start


@pytest.mark.parametrize(("kind", "kills"), [(Forked, FORKED), (Fresh, FRESH)])
def test_kill_at_random_points(seeded, tmp_path, kind, kills, capsys):
    chance = random.Random(11)  # noqa: S311
    seen = Counter()
    with slow_line(seeded.endpoint) as endpoint, ExitStack() as stack:
        place = Place(tmp_path / "soak", endpoint)
        run = stack.enter_context(runner(kind, place.environment))
        timed(run, place)  # the first one of all also compiles
        expected = (place.out / "ggez.lock").read_bytes()
        lasts = {}
        for downloads in (True, False):
            place.forget(downloads=downloads)
            lasts[downloads] = timed(run, place)
        # On a machine that is busy with other things it may take more kills to meet all moments.
        wanted = {"before writing", "writing"} if kind is Forked else set()
        for number in range(3 * kills):
            if number >= kills and wanted <= set(seen):
                break
            downloads = number % 2 == 0
            place.forget(downloads=downloads)
            pid = run.start(place.arguments)
            # Every other delay falls into the first part, where things are downloaded.
            share = 0.5 if downloads and number % 4 == 0 else 1.0
            time.sleep(chance.uniform(0, share * lasts[downloads]))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            status = run.end()
            assert status in {0, -signal.SIGKILL}
            moment = "done" if status == 0 else place.moment()
            seen[moment] += 1
            if place.out.exists():
                assert place.whole()
            start = time.monotonic()
            run.start(place.arguments)
            assert run.end() == 0, f"after kill {number}, {moment}"
            if moment != "done":  # other programs make this one slower and faster
                ratio = (time.monotonic() - start) / lasts[False]
                lasts = {key: last * (0.7 + 0.3 * min(ratio, 2)) for key, last in lasts.items()}
            assert (place.out / "ggez.lock").read_bytes() == expected
            assert place.whole()
            assert place.lying_around() == [], f"after kill {number}, {moment}"
        # What killed downloads left is removed once nothing can be writing it.
        left = place.incomplete()
        for path in left:
            os.utime(path, (0, 0))
        place.forget(downloads=False)
        assert timed(run, place) > 0
        assert not place.incomplete()
    with capsys.disabled():
        print(f"\n{kind.__name__}: {seen.total()} kills over {lasts[True]:.2f} s (with downloads) and "
              f"{lasts[False]:.2f} s: {dict(seen)}; {len(left)} downloads cut")  # fmt: skip
    assert wanted <= set(seen)
