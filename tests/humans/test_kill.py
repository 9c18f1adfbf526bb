"""A server that is killed at any moment: no acknowledged judgement is lost, none is counted twice."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import httpx2
import pytest

from ggez_hub.humans.assignment import queue
from ggez_hub.humans.store import DATABASE, Store

from .served import Client, invited, write_study

SERVE = [sys.executable, "-c", "from ggez_hub.cli.main import main; main()", "humans", "serve"]


def lasting_port():
    """A free port below those that connections get, of which one could take it while the server is down."""
    for port in range(10_000 + os.getpid() % 20_000, 32_000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return str(port)
    raise AssertionError("no port is free")


class Server:
    """`humans serve`, started again at the same address after each kill."""

    def __init__(self, folder):
        self.folder = folder
        self.port = lasting_port()
        self.printed = []
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [*SERVE, str(self.folder), "--port", self.port],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr.read()

    def stop(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.printed += self.process.communicate(timeout=60)


class Rater(threading.Thread):
    """Judges and undoes, and sends again what was not acknowledged, until told to stop."""

    def __init__(self, server, token, stop):
        super().__init__(daemon=True)
        self.client = Client(server.url, token).begin()
        self.chance = random.Random(token)  # noqa: S311
        self.stop = stop
        self.acknowledged = {}
        self.unsure = set()
        self.failure = None

    def run(self):
        try:
            while not self.stop.is_set() and not self.client.finished:
                self.judge()
        except BaseException as error:
            self.failure = error

    def judge(self):
        if self.acknowledged and self.chance.random() < 0.1:
            form = self.client.form("/undo")
            self.unsure.add(form["where"])
            if not self.sent("/undo", form):
                return
            del self.acknowledged[form["where"]]
        else:
            form = self.client.form("/judgements")
            choices = self.client.choices(self.chance.randrange(3))
            self.unsure.add(form["where"])
            if not self.sent("/judgements", {**form, **choices}):
                return
            self.acknowledged[form["where"]] = sorted(float(v) for v in choices.values())
        self.unsure.remove(form["where"])
        self.page()

    def sent(self, action, form):
        """Whether it was acknowledged before it was time to stop; it may be sent many times."""
        while not self.stop.is_set():
            try:
                status = self.client.http.post(
                    action, data=form, follow_redirects=False
                ).status_code
            except httpx2.TransportError:
                time.sleep(0.02)
                continue
            if status == 303:
                return True
            assert status == 429, status
            time.sleep(0.2)
        return False

    def page(self):
        while not self.stop.is_set():
            try:
                found = self.client.http.get("/")
            except httpx2.TransportError:
                time.sleep(0.02)
                continue
            if found.status_code == 200:
                self.client.page = found
                return
            assert found.status_code == 429, found.status_code
            time.sleep(0.2)


def killed(folder, raters, kills, items, judgements):
    """Kill the server under raters, and compare what they know with what is there.

    It goes on until so many judgements were acknowledged, however slow the machine is.
    """
    study = write_study(folder, items=items, items_per_rater=items)
    server, stop = Server(folder), threading.Event()
    tokens = [
        invited(folder, side=("global", "regional")[n % 2], language="en") for n in range(raters)
    ]
    people = [Rater(server, token, stop) for token in tokens]
    for person in people:
        person.start()
    chance = random.Random(kills)  # noqa: S311
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.8))
        server.stop()
        server.start()
    while sum(len(person.acknowledged) for person in people) < judgements:
        assert any(person.is_alive() for person in people)
        time.sleep(0.2)
    time.sleep(1)
    stop.set()
    for person in people:
        person.join(timeout=60)
    server.stop(signal.SIGTERM)
    assert [person.failure for person in people] == [None] * raters
    assert server.printed == [""] * len(server.printed)
    with sqlite3.connect(folder / DATABASE) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store, kept = Store(folder), list(Store(folder).judgements())
    assert max(Counter((j.rater, j.shown.key) for j in kept).values()) == 1
    for token, person in zip(tokens, people, strict=True):
        rater = store.rater(token)
        sets = queue(study, rater.side, rater.language, rater.number)
        places = {shown.key: str(place) for place, shown in enumerate(sets)}
        found = {
            places[j.shown.key]: sorted(v for given in j.answers.values() for v in given.values())
            for j in kept
            if j.rater == rater.id
        }
        # What was on its way when all stopped may be there or not.
        for place in person.unsure:
            found.pop(place, None)
            person.acknowledged.pop(place, None)
        assert found == person.acknowledged


def test_kills_lose_no_acknowledged_judgement(tmp_path):
    killed(tmp_path / "study", raters=4, kills=3, items=60, judgements=20)


@pytest.mark.slow
def test_fifty_kills_under_twenty_raters(tmp_path):
    killed(tmp_path / "study", raters=20, kills=50, items=600, judgements=1000)
