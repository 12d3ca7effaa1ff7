"""A model behind OpenAI's HTTP API, on loopback, that gives the replies of a script.

Real clients talk to it, so that what they log is what they log of the real service. It knows
``/chat/completions`` (streamed as well) and ``/responses`` (not streamed). Tokens differ from call
to call, so that they can be told apart: the n-th reply costs ``100 + n`` in and ``10 + n`` out.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "gpt-4.1-mini"


def say(text: str | None, *calls: tuple[str, Any]) -> dict[str, Any]:
    """A scripted reply: text and tool calls as ``(name, arguments)``; a string is sent as it is."""
    return {"text": text, "calls": calls}


def tokens(number: int) -> tuple[int, int]:
    """Tokens in and out of the ``number``-th reply, from 1."""
    return 100 + number, 10 + number


def numbered(reply: dict[str, Any], number: int) -> list[tuple[str, str, str]]:
    """The calls of a reply as ``(id, name, arguments)``."""
    return [
        (f"call_{number}_{index}", name, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))
        for index, (name, given) in enumerate(reply["calls"])
    ]


def completion(reply: dict[str, Any], number: int, model: str) -> dict[str, Any]:
    """The reply as ``/chat/completions`` gives it."""
    sent, received = tokens(number)
    message: dict[str, Any] = {"role": "assistant", "content": reply["text"]}
    calls = numbered(reply, number)
    if calls:
        message["tool_calls"] = [
            {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            for call_id, name, arguments in calls
        ]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}],
        "usage": {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received},
    }


def chunks(reply: dict[str, Any], number: int, model: str) -> Iterator[dict[str, Any]]:
    """The reply as ``/chat/completions`` streams it."""
    base = {key: value for key, value in completion(reply, number, model).items() if key not in {"choices", "usage"}}
    base["object"] = "chat.completion.chunk"

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    text = reply["text"] or ""
    yield chunk({"role": "assistant", "content": ""})
    for at in range(0, len(text), 9):
        yield chunk({"content": text[at : at + 9]})
    calls = numbered(reply, number)
    for index, (call_id, name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": arguments}
        yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
    yield chunk({}, "tool_calls" if calls else "stop")
    yield {**base, "choices": [], "usage": completion(reply, number, model)["usage"]}


def response(reply: dict[str, Any], number: int) -> dict[str, Any]:
    """The reply as ``/responses`` gives it."""
    sent, received = tokens(number)
    output: list[dict[str, Any]] = []
    if reply["text"]:
        content = [{"type": "output_text", "text": reply["text"], "annotations": []}]
        output.append(
            {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content}
        )
    for call_id, name, arguments in numbered(reply, number):
        call = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name}
        output.append({**call, "arguments": arguments, "status": "completed"})
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": received,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sent + received,
        },
    }


@contextlib.contextmanager
def serving(script: list[Any]) -> Iterator[str]:
    """The base URL of a model that gives these replies in turn; an exception is answered as status 400."""
    replies = iter(enumerate(script, 1))
    turn = threading.Lock()

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with turn:
                number, reply = next(replies)
            if isinstance(reply, Exception):
                self.answer(400, {"error": {"message": str(reply), "type": "invalid_request_error", "code": None}})
            elif self.path.endswith("/responses"):
                self.answer(200, response(reply, number))
            elif body.get("stream"):
                events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks(reply, number, body["model"]))
                self.send(200, "text/event-stream", (events + "data: [DONE]\n\n").encode())
            else:
                self.answer(200, completion(reply, number, body["model"]))

        def answer(self, status: int, body: dict[str, Any]) -> None:
            self.send(status, "application/json", json.dumps(body).encode())

        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """The server itself prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
