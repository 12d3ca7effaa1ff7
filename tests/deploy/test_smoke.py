"""``make smoke-aws``, against an emulated AWS."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import pytest

from demo.processes import aws, cloudwatch
from tests.deploy.image_steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with cloudwatch(tmp_path_factory.mktemp("smoke")) as endpoint:
        yield {**os.environ, **aws(endpoint)}


def smoke(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo.smoke", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_what_it_writes_arrives_and_is_certified(environment: dict[str, str]) -> None:
    done = smoke(environment, "--group", "/smoke/one", "--lines", "50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"smoke: /smoke/one: complete through .*: 50 records", done.stdout), done.stdout


def test_it_removes_the_group_that_it_made(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logs = boto3.client("logs")
    assert logs.describe_log_groups(logGroupNamePrefix="/smoke/")["logGroups"] == []


def test_without_credentials_it_says_so(tmp_path: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    done = smoke({**bare, **nowhere, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "--lines", "5")
    assert done.returncode == 1
    assert "Unable to locate credentials" in done.stdout
    assert "docs/iam.md" in done.stdout
