"""Record ordinary logs, as services without any agent print them: what no parser may take for an agent framework's.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [name ...]``; ``pino`` needs node with ``npm install pino`` in ``$PINO`` (see ``pino``). Everything
is the real program, on loopback, and ended by its own handle. Folders of this machine are written as a Lambda has them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
LEAST, MOST = 2_000, 2_600
"""Lines that are kept of each."""

ASGI = """
from fastapi import FastAPI
import logging
logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("shop")
app = FastAPI()
@app.get("/orders/{number}")
def order(number: int):
    log.info("order %s read: %r", number, {"id": number, "lines": [1, 2]})
    return {"id": number}
@app.get("/broken")
def broken():
    raise KeyError("no such order: {'id': 7}")
"""
WSGI = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/broken":
        raise ValueError("cannot read [values] {'messages': []}")
    start_response("200 OK" if path != "/none" else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
DJANGO = """
import sys, logging
from django.conf import settings
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"c": {"class": "logging.StreamHandler"}},
             "loggers": {"django.db.backends": {"level": "DEBUG", "handlers": ["c"]}}})
import django
django.setup()
from django.db import connection
from django.http import HttpResponse
from django.urls import path
def order(request, number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s AS id, 'Final Answer: 4' AS text", [number])
    return HttpResponse("ok")
def broken(request):
    raise RuntimeError("Tool: none\\nAction: none")
urlpatterns = [path("orders/<int:number>", order), path("broken", broken)]
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(["manage.py", "runserver", "--noreload", sys.argv[1]])
"""
CELERY = """
from celery import Celery
app = Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.task_default_retry_delay = 0
@app.task
def ship(number): return {"id": number, "state": "shipped"}
@app.task
def fail(number): raise ConnectionError(f"cannot reach host db-{number}")
@app.task(bind=True, max_retries=2)
def retry(self, number):
    raise self.retry(exc=TimeoutError("slow"), countdown=0)
if __name__ == "__main__":
    from celery.contrib.testing.worker import start_worker
    import logging, sys
    app.log.setup(loglevel="DEBUG")
    with start_worker(app, perform_ping_check=False, loglevel="DEBUG", pool="solo"):
        waiting = [task.delay(n) for n in range(140) for task in (ship, fail, retry)]
        for each in waiting:
            each.get(propagate=False, timeout=60)
"""
SQLALCHEMY = """
import logging, sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
class Base(DeclarativeBase): pass
class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
engine = sa.create_engine("sqlite://", echo="debug")
Base.metadata.create_all(engine)
with Session(engine) as session:
    for number in range(500):
        session.add(Order(note=f"Thought: {number} {{'a': [1]}}"))
        session.flush()
        session.scalars(sa.select(Order).where(Order.id > number - 1)).all()
    session.commit()
"""
BOTO = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, format=sys.argv[2], stream=sys.stdout)
import boto3
logs = boto3.client("logs", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
logs.create_log_group(logGroupName="/a")
for number in range(40):
    logs.create_log_stream(logGroupName="/a", logStreamName=str(number))
    logs.describe_log_streams(logGroupName="/a", limit=3)
try:
    logs.create_log_group(logGroupName="/a")
except Exception as error:
    logging.exception("refused")
"""
PYTEST = """
import logging, pytest
@pytest.mark.parametrize("number", range(300))
def test_order(number):
    print(f"checking order {number}: {{'id': {number}}}")
    logging.getLogger("shop").warning("slow %s", {"id": number})
    assert {"id": number % 7, "lines": [1, 2]} == {"id": number % 5, "lines": [1, 2]}
@pytest.fixture
def broken():
    raise RuntimeError("no database")
@pytest.mark.parametrize("number", range(20))
def test_error(broken, number): ...
@pytest.mark.skip(reason="Tool Calls: none")
@pytest.mark.parametrize("number", range(200))
def test_skipped(number): ...
"""
PINO = """
const pino = require("pino");
const log = pino({level: "trace"}), child = log.child({module: "orders", tool: "hammer"});
for (let n = 0; n < 500; n++) {
  log.info({order: {id: n, lines: [1, 2]}}, "order %d taken", n);
  child.debug({req: {method: "GET", url: "/orders/" + n, headers: {host: "a"}}}, "request");
  child.warn("slow");
  log.error(new Error("cannot reach db-" + n));
  log.trace({messages: [{role: "user", content: "hello"}], model: "T"}, "Invoking search");
}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[object], folder: Path, url: str, out: Path) -> Iterator[None]:
    """A server, until it answers; interrupted at the end, as a person would."""
    with out.open("wb") as output:
        child = subprocess.Popen(
            [str(each) for each in command], cwd=folder, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            until = time.monotonic() + 30
            while fetch(url) is None and time.monotonic() < until:
                time.sleep(0.1)
            yield
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def fetch(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def asked(base: str, count: int) -> None:
    paths = [f"{base}/orders/{n}" if n % 9 else f"{base}/{('broken', 'none')[n % 2]}" for n in range(count)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, paths))


def served(folder: Path, source: str, command: Callable[[int], list[object]], count: int) -> str:
    (folder / "app.py").write_text(source)
    port, out = free_port(), folder / "out.txt"
    with running(command(port), folder, f"http://127.0.0.1:{port}/orders/1", out):
        asked(f"http://127.0.0.1:{port}", count)
    return out.read_text()


def ran(folder: Path, source: str, *arguments: str, name: str = "app.py", program: list[object] | None = None) -> str:
    (folder / name).write_text(source)
    command = [str(each) for each in (program or [sys.executable]) + [name, *arguments]]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    return done.stdout


def uvicorn(folder: Path) -> str:
    return served(
        folder, ASGI, lambda port: [BIN / "uvicorn", "app:app", "--port", port, "--log-level", "debug"], 1_100
    )


def gunicorn(folder: Path) -> str:
    flags = ["--access-logfile", "-", "--log-level", "debug", "--workers", "2"]
    return served(folder, WSGI, lambda port: [BIN / "gunicorn", "app:app", "-b", f"127.0.0.1:{port}", *flags], 1_500)


def django(folder: Path) -> str:
    return served(folder, DJANGO, lambda port: [sys.executable, "app.py", f"127.0.0.1:{port}"], 900)


def celery(folder: Path) -> str:
    return ran(folder, CELERY, name="shop.py")


def sqlalchemy(folder: Path) -> str:
    return ran(folder, SQLALCHEMY)


def botocore(folder: Path) -> str:
    port = free_port()
    with running(
        [BIN / "moto_server", "-p", port], folder, f"http://127.0.0.1:{port}/moto-api/data.json", folder / "moto.txt"
    ):
        formats = ("%(asctime)s %(name)s [%(levelname)s] %(message)s", "%(levelname)s:%(name)s:%(message)s")
        return "".join(ran(folder, BOTO, f"http://127.0.0.1:{port}", each) for each in formats)


def pytest(folder: Path) -> str:
    return ran(
        folder, PYTEST, "-vv", "-rA", "--color=yes", name="test_app.py", program=[sys.executable, "-m", "pytest"]
    )


def pino(folder: Path) -> str:
    """``PINO`` names the folder in which ``npm install pino`` was run."""
    return ran(Path(os.environ["PINO"]), PINO, name="noise.js", program=["node"])


PROGRAMS = {each.__name__: each for each in (uvicorn, gunicorn, django, celery, sqlalchemy, botocore, pytest, pino)}


def as_on_lambda(text: str, folder: Path) -> str:
    base, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = {
        sysconfig.get_path("purelib"): f"/var/lang/lib/{version}/site-packages",
        str(base / "lib" / version): f"/var/lang/lib/{version}",
        sys.prefix: "/var/lang",
        str(base): "/var/lang",
        os.environ.get("PINO", str(folder)): "/var/task",
        str(folder): "/var/task",
        socket.gethostname(): "host",
    }
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, places[place])
    return text


def main() -> None:
    for name in sys.argv[1:] or PROGRAMS:
        with tempfile.TemporaryDirectory() as place:
            text = as_on_lambda(PROGRAMS[name](Path(place)), Path(place))
        lines = text.splitlines(keepends=True)
        if len(lines) < LEAST:
            raise SystemExit(f"{name}: {len(lines)} lines, fewer than {LEAST}:\n{text[-2_000:]}")
        # What a service prints when it starts and stops is of interest too.
        kept = lines if len(lines) <= MOST else lines[: MOST // 2] + lines[-MOST // 2 :]
        data = gzip.compress("".join(kept).encode("utf-8", "replace"), mtime=0)
        (HERE / f"{name}.txt.gz").write_bytes(data)
        print(f"{name}: {len(kept)} of {len(lines)} lines, {len(data)} bytes")


if __name__ == "__main__":
    main()
