"""A stand-in for CloudWatch Logs that costs next to nothing: pages rendered beforehand, served as fast as asked for.

``python -m benchmarks.cloudwatch_stub GROUPS START END`` serves that many log groups; each has a full page of records
(998 of 1 KiB: 1 MiB as AWS counts it) in every second from START until before END, epoch seconds. It writes its address
as the first line of its output.

What it keeps of the real one: pages of at most 1 MiB that end with ``nextToken``, both ends of the time range
inclusive, order by time, five interleaved streams, ids of 56 digits, a ``Date`` header, ``DescribeLogGroups``.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.messages import SIZE, STAMP, messages

PER_PAGE = 2**20 // (SIZE + 26)
"""Records in a page, which is also those of a second: AWS counts 26 bytes beside each message."""
ACCOUNT = "123456789012"

_TEMPLATES = 3
_STREAMS = 5
_SECOND = b"@SECOND@"


def group_names(count: int) -> list[str]:
    """Names of the groups that a stub of that many serves."""
    return [f"/benchmark/group-{number:02d}" for number in range(count)]


class Backlog:
    """The records, the same in each group: record ``i`` of a second is dated at its ``i``-th millisecond."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._templates = [
            [_event(text, number) for number, text in enumerate(messages(PER_PAGE, seed=seed))]
            for seed in range(_TEMPLATES)
        ]

    def page(self, since: int, until: int, token: str | None) -> bytes:
        """The answer for ``since``…``until``, milliseconds, both inclusive."""
        second = max(self._start, since // 1000) if token is None else int(token)
        if second >= self._end or second * 1000 > until:
            return b'{"events":[],"searchedLogStreams":[]}'
        first, last = max(0, since - second * 1000), min(PER_PAGE - 1, until - second * 1000)
        events = b",".join(self._templates[second % _TEMPLATES][first : last + 1])
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        events = events.replace(_SECOND, str(second).encode()).replace(STAMP.encode(), stamp)
        more = second + 1 < self._end and (second + 1) * 1000 <= until
        following = b',"nextToken":"%d"' % (second + 1) if more else b""
        return b'{"events":[' + events + b'],"searchedLogStreams":[]' + following + b"}"


def _event(message: str, number: int) -> bytes:
    second = _SECOND.decode()
    return (
        f'{{"logStreamName":"stream-{number % _STREAMS}","timestamp":{second}{number:03d},"message":'
        f'{json.dumps(message)},"ingestionTime":{second}{number:03d},"eventId":"{second}{number:046d}"}}'
    ).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one piece: two would cost 40 ms, by Nagle's rule and delayed acknowledgements
    disable_nagle_algorithm = True
    backlog: Backlog
    groups: list[str]

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Amz-Target"].endswith(".FilterLogEvents"):
            answer = self.backlog.page(body["startTime"], body["endTime"], body.get("nextToken"))
        else:
            answer = json.dumps({"logGroups": [self._described(name) for name in self.groups]}).encode()
        self.send_response(200)  # sends the Date too
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _described(self, name: str) -> dict[str, Any]:
        arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}"
        return {"logGroupName": name, "arn": f"{arn}:*", "logGroupArn": arn, "creationTime": 0}

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def main(groups: int, start: int, end: int) -> None:
    """Serve until terminated."""
    handler = type("Handler", (_Handler,), {"backlog": Backlog(start, end), "groups": group_names(groups)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
