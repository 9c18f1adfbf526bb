"""A wire between client and hub that can be cut, or can change what passes."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit


class Wire:
    """Forwards bytes to a hub. `alter` sees what the hub sends: it returns it, or None to die.

    `upstream` sees what the client sends.

    A wire that died refuses every later connection, as a hub that crashed does.
    """

    def __init__(self, endpoint, alter, upstream):
        parts = urlsplit(endpoint)
        self.target = (parts.hostname, parts.port)
        self.alter = alter
        self.upstream = upstream
        self.dead = False
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
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
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
        thread.join(timeout=5)
