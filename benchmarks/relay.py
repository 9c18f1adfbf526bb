"""A relay to a server whose answers arrive later, as if it were far away: python -m benchmarks.relay URL SECONDS."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

PIECE = 1 << 16


async def serve(url: str, later: float) -> None:
    """Listen on a port of this machine, and print its address."""
    address = urlsplit(url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(passed(reader, forth, 0), passed(back, writer, later))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, later: float) -> None:
    """Pass on what is read, each piece `later` seconds after it came; an empty one is the end."""
    now = asyncio.get_running_loop().time
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        piece = b" "
        while piece:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - now()))
            writer.write(piece)
            await writer.drain()
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        piece = b" "
        while piece:
            piece = await reader.read(PIECE)
            await pieces.put((now() + later, piece))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2])))
