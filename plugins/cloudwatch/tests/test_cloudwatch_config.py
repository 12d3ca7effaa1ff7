from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from vectadb_agent_cloudwatch.config import CloudWatchConfig, GroupPrefix


def config(**options: Any) -> CloudWatchConfig:
    return CloudWatchConfig.model_validate({"type": "cloudwatch", "log_groups": ["/a"], **options})


def test_names_and_prefixes() -> None:
    made = config(log_groups=["/a", {"prefix": "/b/"}, "/a", {"prefix": "/b/"}], poll_interval="1m")
    assert made.names == ["/a"]
    assert made.prefixes == ["/b/"]
    assert made.poll_interval == 60


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"log_groups": []}, "at least 1"),
        ({"log_groups": ["arn:aws:logs:eu-west-1:123456789012:log-group:/app:*"]}, "not its ARN: '/app'"),
        ({"log_groups": ["with space"]}, "no log group name"),
        ({"log_groups": [{"prefx": "/a"}]}, "prefx"),
        ({"account": 12345678901}, "in quotes"),
        ({"account": "123"}, "twelve digits"),
        ({"settle_min": "2m"}, "settle_min"),
        ({"reader": "get", "filter_pattern": "x"}, "GetLogEvents cannot filter"),
        ({"endpoint_url": "localhost:4566"}, "http://"),
        ({"role_arn": "reader"}, "arn"),
        ({"poll_interval": 10}, "unit"),
        ({"regoin": "x"}, "regoin"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**options)


def test_what_does_not_go_together_is_told_with_all_other_mistakes() -> None:
    with pytest.raises(ValidationError) as caught:
        config(sweeps=["1h", "5m"], reader="get", filter_pattern="x", regoin="x", account="1")
    told = {detail["loc"][0]: detail["msg"] for detail in caught.value.errors()}
    assert set(told) == {"sweeps", "reader", "regoin", "account"}
    assert told["sweeps"] == "Value error, sweeps must ascend, from more than 0s: 3600s, 300s"


@pytest.mark.parametrize("model", [CloudWatchConfig, GroupPrefix])
def test_every_option_is_documented(model: Any) -> None:
    assert all(field.description for name, field in model.model_fields.items() if name != "type")


def test_listing_plugins_does_not_import_boto3() -> None:
    code = (
        "import sys, vectadb_agent_cloudwatch as plugin;"
        "(source,) = plugin.vectadb_register_sources();"
        "assert source.name == 'cloudwatch';"
        "source(source.Config(type='cloudwatch', log_groups=['/a']));"
        "assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
