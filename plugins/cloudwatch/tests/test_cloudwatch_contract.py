"""The suite that third-party sources pass, on ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vectadb_agent.testing import SourceContract
from vectadb_agent_cloudwatch import CloudWatchSource

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Aws


class TestCloudWatch(SourceContract):
    @pytest.fixture(autouse=True)
    def _logs(self, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        self._groups = [aws.group(), aws.group(None, "s", "t")]
        for number in range(6):
            aws.put(self._groups[number % 2], f"line {number}", f"beside {number}", age=300 - number * 40)

    def source(self) -> CloudWatchSource:
        return self._of(self._groups)

    def broken(self) -> CloudWatchSource:
        return self._of(["/no/such/group"])

    def _of(self, groups: list[str]) -> CloudWatchSource:
        options = {"type": "cloudwatch", "region": "eu-west-1", "log_groups": groups, "lookback": "10m"}
        return CloudWatchSource(CloudWatchSource.Config.model_validate({**options, "poll_interval": "1s"}))
