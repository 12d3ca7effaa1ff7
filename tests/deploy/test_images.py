"""The images, as far as that goes without an engine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo.processes import answers, free_port, process, until
from tests.deploy.image_steps import ROOT, build, stages

FILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
BIN = Path(sys.executable).parent
KEY = "a-key-for-those-who-try-the-images"

# In place of the base image's Python: uv installs in a second what pip would download, by the same constraints;
# of the modules only ours are compiled; the page is the one that `make install` has built.
PYTHON = """\
#!/bin/bash
case "$1 $2" in
  "server/ui/build.py ") exec cp -r {root}/server/src/vectadb_server/page server/src/vectadb_server/ ;;
  "-m pip") [ "$3" = --python ] || exit 0; shift 2; target=$2; shift 3
    words=(); for word in "$@"; do [ "$word" = --no-compile ] || words+=("$word"); done
    exec {uv} pip install -q --python "$target" --constraint "$PIP_CONSTRAINT" \\
      --build-constraint "$PIP_CONSTRAINT" "${{words[@]}}" ;;
  "-m compileall") exec {python} "${{@:1:$#-1}}" "${{@: -1}}"/*/site-packages/vectadb_* ;;
esac
exec {python} "$@"
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_linter_finds_nothing(file: Path) -> None:
    done = subprocess.run([BIN / "hadolint", file], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_final_stage_only_runs(file: Path) -> None:
    *_, first, final = stages(file)
    assert first.all("FROM") == ["${BASE} AS build"]
    (user,) = final.all("USER")
    assert user != "root"
    assert not user.startswith("0")
    (healthcheck,) = final.all("HEALTHCHECK")
    assert " CMD [" in healthcheck
    for step in final.all("RUN"):
        assert not any(word in step for word in ("pip", "apt", "gcc", "curl")), step
    assert final.all("COPY") == ["--from=build /opt/vectadb /opt/vectadb"]


def _built(file: Path, directory: Path) -> Path:
    shim = directory / "bin"
    shim.mkdir()
    (shim / "python").write_text(PYTHON.format(uv=BIN / "uv", python=sys.executable, root=ROOT))
    (shim / "python").chmod(0o755)
    return build(file, directory, path=str(shim))


def _command(file: Path, instruction: str) -> list[str]:
    text = stages(file)[-1].all(instruction)[0]
    return list(json.loads(text[text.index("[") :]))


def test_the_server_image_serves_and_says_when_it_is_ready(tmp_path: Path) -> None:
    file = ROOT / "deploy" / "server.Dockerfile"
    image = _built(file, tmp_path)
    assert not list(image.glob("lib/*/site-packages/pip")), "pip is no use in an image that only runs"
    assert list(image.glob("lib/*/site-packages/vectadb_server/__pycache__/*.pyc"))
    said = subprocess.run([image / "bin/vectadb", "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.endswith(" with vectadb-native\n" if shutil.which("cargo") else " 0.1.0\n")
    port = free_port()
    settings = stages(file)[-1].environment | {
        "PATH": f"{image}/bin:{os.environ['PATH']}",
        "VECTADB_DATA_DIR": str(tmp_path / "data"),
        "VECTADB_PORT": str(port),
        "VECTADB_BOOTSTRAP_KEY": KEY,
    }
    program, *start = _command(file, "ENTRYPOINT") + _command(file, "CMD")
    with process([image / "bin" / program, *start], tmp_path / "log", settings):
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/health/ready"), "the server of the image", tmp_path / "log")
        probe = [word.replace(":8080", f":{port}") for word in _command(file, "HEALTHCHECK")]
        assert subprocess.run(probe, env={**os.environ, **settings}, timeout=60, check=False).returncode == 0
        assert "<script" in httpx.get(url).text
        assert httpx.get(f"{url}/api/v1/traces").status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{url}/api/v1/traces", headers=headers).json()["traces"] == []
    assert subprocess.run(
        probe, capture_output=True, env={**os.environ, **settings}, timeout=60, check=False
    ).returncode


def test_the_agent_image_has_every_plugin_and_is_told_by_its_health_check(tmp_path: Path) -> None:
    file = ROOT / "deploy" / "agent.Dockerfile"
    image = _built(file, tmp_path)
    config = tmp_path / "agent.yaml"
    config.write_text((ROOT / "deploy" / "config" / "agent.yaml").read_text())
    environment = {
        **os.environ,
        "PATH": f"{image}/bin:{os.environ['PATH']}",
        "CONFIG_PATH": str(config),
        "VECTADB_API_KEY": KEY,
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    listed = run("vectadb-agent", "plugins")
    assert listed.returncode == 0, listed.stdout
    for name in ("cloudwatch", "parsers", "processors", "sinks"):
        assert f"vectadb-agent-{name}" in listed.stdout
    entry = shlex.join(_command(file, "ENTRYPOINT") + _command(file, "CMD"))
    assert entry == "vectadb-agent run"
    health = run(*_command(file, "HEALTHCHECK"))  # the configuration is taken; no agent runs
    assert health.returncode == 1, health.stderr
    assert "state" in health.stdout + health.stderr
