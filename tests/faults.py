"""Faults between client and hub: a wire that can be cut or change what passes, a hub that fails."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit

# What `alter` returns to end one connection as a router does that forgot it: with a reset.
RESET = object()


class Wire:
    """Forwards bytes to a hub. `alter` sees what the hub sends: it returns it, None to die, RESET.

    `upstream` sees what the client sends.

    A wire that died refuses every later connection, as a hub that crashed does.
    """

    def __init__(self, endpoint, alter, upstream):
        parts = urlsplit(endpoint)
        self.target = (parts.hostname, parts.port)
        self.alter = alter
        self.upstream = upstream
        self.dead = False
        self.reset = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while not self.dead:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            hub = socket.create_connection(self.target)
            Thread(target=self.pump, args=(client, hub, self.upstream), daemon=True).start()
            Thread(target=self.pump, args=(hub, client, self.alter), daemon=True).start()

    def pump(self, source, sink, alter):
        with suppress(OSError):
            while data := source.recv(65536):
                data = alter(data)
                if data is None:
                    self.die()
                    break
                if data is RESET:
                    linger = struct.pack("ii", 1, 0)
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.reset.add(sink)
                    sink.shutdown(socket.SHUT_RD)  # wakes the other pump, which holds it open
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                if end not in self.reset:
                    end.shutdown(socket.SHUT_RDWR)
            end.close()

    def die(self):
        self.dead = True
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextmanager
def wire(endpoint, alter, upstream=lambda data: data):
    """A running wire to the hub at `endpoint`."""
    line = Wire(endpoint, alter, upstream)
    thread = Thread(target=line.run, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.die()
        thread.join(timeout=120)


class Ending:
    """Where a piece of what connections send ends, however it is cut on its way: one thread each reads a connection."""

    def __init__(self, piece):
        self.piece = piece
        self.seen = threading.local()

    def place(self, data):
        """Where it ends within `data`, which comes next; None if it does not."""
        before = getattr(self.seen, "tail", b"")
        together = before + data
        self.seen.tail = together[1 - len(self.piece) :]
        found = together.find(self.piece)
        return None if found < 0 else found + len(self.piece) - len(before)


class NotedClock:
    """The module `time` for modules that wait: how long is noted in `waits`, and not waited."""

    def __init__(self):
        self.waits = []
        self.sleep = self.waits.append

    def __getattr__(self, name):
        return getattr(time, name)

    @classmethod
    def of_clients(cls, monkeypatch):
        """For all that waits before it asks a server again, and nothing else in this process."""
        import huggingface_hub.file_download
        import huggingface_hub.utils._http
        import tenacity.nap

        clock = cls()
        for module in (
            huggingface_hub.file_download, huggingface_hub.utils._http, tenacity.nap,
        ):  # fmt: skip
            monkeypatch.setattr(module, "time", clock)
        return clock.waits


class Failing:
    """A hub that fails: the next requests that `fails` names are answered by it, others by `app`.

    `fails` is a list of (part of "METHOD path", how often, fault); a fault is an ASGI application
    that is given the hub's application too. `asked` lists every request.
    """

    def __init__(self, app):
        self.app, self.fails, self.asked = app, [], []

    async def __call__(self, scope, receive, send):
        line = f"{scope['method']} {scope['path']}"
        self.asked.append(line)
        for number, (part, times, fault) in enumerate(self.fails):
            if part in line and times:
                self.fails[number] = (part, times - 1, fault)
                await fault(self.app, scope, receive, send)
                return
        await self.app(scope, receive, send)


def answer(status, **headers):
    """A fault: that status, with these headers."""

    async def fault(app, scope, receive, send):
        lines = [(k.replace("_", "-").encode(), str(v).encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": b"out of order"})

    return fault


def altered(change, *, stalls=False):
    """A fault: the hub's answer with its body changed, or half of it until the client has gone.

    The headers stay as they are: a shorter body is a truncated one.
    """

    async def fault(app, scope, receive, send):
        pieces, start = [], {}

        async def keep(message):
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                pieces.append(message.get("body", b""))

        # The hub would send a file by its path, past the body that is to be changed.
        scope = scope | {"extensions": {}}
        await app(scope, receive, keep)
        body = change(b"".join(pieces))
        await send(start)
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        )
        while stalls and (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": body[len(body) // 2 :]})

    return fault
