"""The IAM policy: it is enough, each of its actions is needed, and Terraform has the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import hcl2
import httpx
import pytest

from demo.processes import aws, cloudwatch
from tests.deploy.image_steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = ROOT / "deploy" / "iam-policy.json"
STATEMENTS: list[dict[str, Any]] = json.loads(POLICY.read_text(encoding="utf-8"))["Statement"]
CONFIG = """\
pipelines:
  p:
    source: {type: cloudwatch, region: us-east-1, log_groups: [/aws/lambda/my-agent, {prefix: /ecs/agents/}]}
    sinks: [out]
sinks: {out: {type: file, path: ./events.ndjson}}
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an emulated AWS with two log groups; yield its address."""
    with pytest.MonkeyPatch.context() as patch, cloudwatch(tmp_path_factory.mktemp("iam")) as endpoint:
        for name, value in aws(endpoint).items():
            patch.setenv(name, value)
        logs = boto3.client("logs")
        for group in ("/aws/lambda/my-agent", "/ecs/agents/web"):
            logs.create_log_group(logGroupName=group)
            logs.create_log_stream(logGroupName=group, logStreamName="s")
            line = {"timestamp": time.time_ns() // 1_000_000, "message": "hello"}
            logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[line])
        yield endpoint


def _check(endpoint: str, statements: list[dict[str, Any]], directory: Path) -> subprocess.CompletedProcess[str]:
    """``vectadb-agent check`` as a user who has these statements and no more; moto looks at actions alone."""
    statements = [{**each, "Resource": "*"} for each in statements]
    httpx.post(f"{endpoint}/moto-api/reset-auth", content="1000")
    iam, name = boto3.client("iam"), f"agent-{time.time_ns()}"
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    httpx.post(f"{endpoint}/moto-api/reset-auth", content="0").raise_for_status()  # from now on it is enforced
    (directory / "agent.yaml").write_text(CONFIG)
    try:
        return subprocess.run(
            [Path(sys.executable).parent / "vectadb-agent", "check", "--config", "agent.yaml"],
            cwd=directory,
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        httpx.post(f"{endpoint}/moto-api/reset-auth", content="1000")


def test_the_policy_is_enough(account: str, tmp_path: Path) -> None:
    done = _check(account, STATEMENTS, tmp_path)
    assert done.returncode == 0, done.stdout
    assert "/ecs/agents/web: readable" in done.stdout


@pytest.mark.parametrize("left_out", [each["Sid"] for each in STATEMENTS])
def test_nothing_of_it_can_be_left_out(left_out: str, account: str, tmp_path: Path) -> None:
    fewer = [each for each in STATEMENTS if each["Sid"] != left_out]
    (action,) = (each["Action"] for each in STATEMENTS if each["Sid"] == left_out)
    done = _check(account, fewer, tmp_path)
    assert done.returncode == 1
    assert action in done.stdout, done.stdout


def test_terraform_allows_the_same() -> None:
    with (ROOT / "deploy" / "terraform" / "main.tf").open(encoding="utf-8") as file:
        values = hcl2.load(file)
    text = json.dumps(values)
    for each in STATEMENTS:
        assert each["Action"] in text
    documents = [body for block in values["data"] for body in block.values()]
    (read,) = (each for body in documents for name, each in body.items() if name.strip('"') == "read")
    actions = {action.strip('"') for statement in read["statement"] for action in statement["actions"]}
    assert actions == {each["Action"] for each in STATEMENTS}
