"""A server that speaks the chat completions of OpenAI's protocol, as vLLM does."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread


@contextmanager
def serving(answer, *, failures=(), whole=False, retry_after=""):
    """(address, requests): `answer` gets a message; `failures` are statuses that come first.

    It gives a text, or a whole choice, or a status. A request is (headers, body) as it came;
    `answer` gets the body too if `whole`.
    """
    seen, waiting, lock = [], list(failures), Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                seen.append((dict(self.headers), body))
                status = waiting.pop(0) if waiting else 200
            content = b"busy"
            if status == 200:
                said = answer(body["messages"][0]["content"], *([body] if whole else []))
                if isinstance(said, int):
                    status, content = (
                        said,
                        b"refused " + self.headers.get("Authorization", "").encode(),
                    )
                else:
                    choice = (
                        said
                        if isinstance(said, dict)
                        else {"message": {"role": "assistant", "content": said}}
                    )
                    content = json.dumps({"choices": [choice]}).encode()
            self.send_response(status)
            if status == 307:
                self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            if status == 429 and retry_after:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        thread.join(timeout=5)
        server.server_close()
