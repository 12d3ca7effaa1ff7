"""One emulated CloudWatch and one server for all snippets, and an environment into which they may install."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from demo import logs
from demo.processes import aws, cloudwatch, server
from tests.docs.snippets import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUPS = {"/aws/lambda/my-agent": logs.RESEARCH, "/ecs/shop": logs.SHOP}
"""Log groups that the documentation names, and the demo's that they are like."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Run CloudWatch and server; yield the environment variables of a reader who is told where they are."""
    directory = tmp_path_factory.mktemp("documentation")
    key = "a-key-for-those-who-read-the-documentation"
    with pytest.MonkeyPatch.context() as patch, cloudwatch(directory) as endpoint:
        for name, value in aws(endpoint).items():
            patch.setenv(name, value)
        patch.setenv("VECTADB_BOOTSTRAP_KEY", key)
        client = boto3.client("logs")
        logs.put(client, time.time_ns() // 1000)
        for name, like in GROUPS.items():
            _copy(client, like, name)
        with server(directory) as url:
            patch.delenv("VECTADB_BOOTSTRAP_KEY")
            sandbox = _sandbox(directory / "sandbox")
            yield {
                **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                "PATH": f"{sandbox}/bin:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "ROOT": str(ROOT),
                "SANDBOX": str(sandbox),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a reader has none of our plugins, whose imports take seconds
                "UV": str(Path(sys.executable).parent / "uv"),
                "VECTADB_API_KEY": key,
                "VECTADB_DATA_DIR": str(directory / "data"),
                "VECTADB_URL": url,
                "XDG_RUNTIME_DIR": str(directory),
            }


def _copy(client: object, like: str, name: str) -> None:
    """Put the records of one group into a new one, too."""
    client.create_log_group(logGroupName=name)  # type: ignore[attr-defined]
    for stream in client.describe_log_streams(logGroupName=like)["logStreams"]:  # type: ignore[attr-defined]
        where = {"logStreamName": stream["logStreamName"]}
        client.create_log_stream(logGroupName=name, **where)  # type: ignore[attr-defined]
        found = client.get_log_events(logGroupName=like, startFromHead=True, **where)["events"]  # type: ignore[attr-defined]
        lines = [{"timestamp": one["timestamp"], "message": one["message"]} for one in found]
        client.put_log_events(logGroupName=name, logEvents=lines, **where)  # type: ignore[attr-defined]


def _sandbox(path: Path) -> Path:
    """An environment of its own that sees all that this one has, and its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True, timeout=60)
    (site,) = path.glob("lib/*/site-packages")
    (site / "development.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, module in (
        ("vectadb", "vectadb_server.cli"),
        ("vectadb-agent", "vectadb_agent.cli"),
        ("pytest", "pytest"),
    ):
        call = "pytest.console_main()" if name == "pytest" else f"{module}.main()"
        program = path / "bin" / name
        program.write_text(f"#!{path}/bin/python\nimport sys, {module}\nsys.exit({call})\n")
        program.chmod(0o755)
    return path
