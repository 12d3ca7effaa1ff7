"""The Compose file: what the specification allows, and what agent and server take."""

from __future__ import annotations

import copy
import json
from typing import Any

import compose_spec
import pytest
import yaml

from tests.deploy.image_steps import ROOT
from vectadb_agent.config import check
from vectadb_server import settings

FILE = ROOT / "deploy" / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def validate(values: dict[str, Any]) -> None:
    compose_spec.PyCompose.from_json(json.dumps(values)).validate()


def test_it_is_what_the_specification_allows() -> None:
    validate(COMPOSE)
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["agent"]["dependson"] = ["vectadb"]
    with pytest.raises(ValueError, match="dependson"):
        validate(wrong)


def test_each_starts_when_what_it_needs_is_healthy() -> None:
    order = {"vectadb": {"surrealdb", "qdrant"}, "agent": {"vectadb"}}
    for name, service in SERVICES.items():
        needs = service.get("depends_on", {})
        assert set(needs) == order.get(name, set())
        assert all(need == {"condition": "service_healthy"} for need in needs.values())
        # Our images bring theirs.
        assert "healthcheck" in service or "build" in service
        assert service["networks"] == ["vectadb"]


def test_images_are_named_by_version_and_ours_are_built_of_files_that_are_there() -> None:
    for name, service in SERVICES.items():
        assert service["image"].partition(":")[2] not in ("", "latest"), name
        if "build" in service:
            assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_the_server_takes_its_settings() -> None:
    given = {name: value.partition(":?")[0] for name, value in SERVICES["vectadb"]["environment"].items()}
    given |= {"VECTADB_HOST": "0.0.0.0", "VECTADB_BOOTSTRAP_KEY": "a-key-for-those-who-try-the-images"}
    assert settings.strays(given) == []
    loaded = settings.load({}, given)
    assert (loaded.surreal_url, loaded.qdrant_url) == ("ws://surrealdb:8000", "http://qdrant:6333")


def test_the_agent_takes_its_configuration() -> None:
    assert "./config:/etc/vectadb-agent:ro" in SERVICES["agent"]["volumes"]
    names = SERVICES["agent"]["environment"]
    text = (ROOT / "deploy" / "config" / "agent.yaml").read_text(encoding="utf-8")
    configuration = check(text, "agent.yaml", dict.fromkeys(names, "set"))
    assert configuration.sinks["vectadb"].config.endpoint == "http://vectadb:8080"
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} <= set(names)
