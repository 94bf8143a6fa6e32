"""A chat server on loopback that fails as it is told: in front of a real one, or answering by itself.

What belongs here: real sockets and real faults. What does not: any assertion.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = [
    "open",
    "close",
    "read",
    "write",
    "file",
    "socket",
    "queue",
    "value",
    "key",
    "list",
    "dict",
    "path",
    "name",
    "error",
    "signal",
    "thread",
    "lock",
]


@dataclass
class Fronted:
    """What a front has seen, and what it is to do.

    Attributes:
        upstream: base URL of a real server; None: it answers with texts that follow from the messages alone.
        faults: what happens to the next requests: a status, `cut`, `hang`, `not_json`, `other_json`, `empty` or
            `echo_key`.
        seen: when each request came (monotonic seconds), its body and its headers.
        lag: seconds before an answer, by the hash of the messages, at most this.
    """

    upstream: str | None = None
    faults: list[str | int] = field(default_factory=list)
    seen: list[tuple[float, dict, dict]] = field(default_factory=list)
    lag: float = 0.0
    retry_after: str | None = None
    url: str = ""


@contextmanager
def front(upstream: str | None = None, **settings: object) -> Iterator[Fronted]:
    """Serve on a free port of loopback; `url` of what is yielded is the API's base URL."""
    state = Fronted(upstream, **settings)  # type: ignore[arg-type]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                state.seen.append(
                    (time.monotonic(), json.loads(body), {name.lower(): value for name, value in self.headers.items()})
                )
                fault = state.faults.pop(0) if state.faults else None
            if fault == "cut":
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{")
                self.wfile.flush()
                self.close_connection = True
            elif fault == "hang":
                time.sleep(1.5)
                self.close_connection = True
            elif fault == "not_json":
                self.send(200, b"{'choices': [")
            elif fault == "other_json":
                self.send(200, b'{"result": []}')
            elif fault == "empty":
                self.send(200, json.dumps(completion("  ")).encode())
            elif fault == "echo_key":
                message = f"bad key {self.headers['authorization']}"
                self.send(401, json.dumps({"error": {"message": message}}).encode())
            elif isinstance(fault, int):
                self.send(fault, b'{"error": {"message": "planted"}}')
            elif state.upstream is not None:
                self.forward(body)
            else:
                self.answer(json.loads(body))

        def forward(self, body: bytes) -> None:
            request = urllib.request.Request(
                f"{state.upstream}/chat/completions", body, {"content-type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    self.send(response.status, response.read())
            except urllib.error.HTTPError as error:
                self.send(error.code, error.read())

        def answer(self, request: dict) -> None:
            digest = hashlib.sha256(json.dumps(request["messages"]).encode()).digest()
            time.sleep(state.lag * digest[0] / 255)
            texts = [" ".join(WORDS[byte % len(WORDS)] for byte in digest[at : at + 5]) for at in range(8)]
            self.send(200, json.dumps(completion(json.dumps(texts))).encode())

        def send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if status == 429 and state.retry_after is not None:
                self.send_header("retry-after", state.retry_after)
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def completion(content: str) -> dict:
    """A chat completion as the API has it."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
