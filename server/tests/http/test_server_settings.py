from __future__ import annotations

from pathlib import Path

import pytest

from vectadb_server.settings import Settings, SettingsError, is_loopback, load, secret, strays


def test_flags_go_before_the_environment_before_the_file_before_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('port = 1\nhost = "localhost"\nlog_level = "error"\nmax_body = "2 MiB"\n')
    environ = {"VECTADB_PORT": "2", "VECTADB_HOST": "127.0.0.2", "VECTADB_DATA_DIR": ""}
    chosen = load({"port": "3", "host": None}, environ, file)
    assert (chosen.port, chosen.host, chosen.log_level) == (3, "127.0.0.2", "error")
    assert (chosen.max_body, chosen.data_dir) == (2 * 2**20, Path("data"))


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text("port = 1\n")
    assert load({}, {"VECTADB_CONFIG": str(file)}).port == 1


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("16 MiB", 2**24), ("16mib", 2**24), ("1 MB", 10**6), ("2 KiB", 2048)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert load({}, {"VECTADB_MAX_BODY": text}).max_body == size


@pytest.mark.parametrize(("text", "days"), [("30d", 30), ("1 d", 1), ("8W", 56)])
def test_lengths_are_days_or_weeks(text: str, days: int) -> None:
    assert load({}, {"VECTADB_RETAIN": text}).retain == days * 86_400_000_000


def test_lengths_by_type(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('retain_types = { log = "7d", llm_start = "2w" }')
    day = 86_400_000_000
    assert load({}, {}, file).retain_types == (("log", 7 * day), ("llm_start", 14 * day))
    assert load({}, {"VECTADB_RETAIN_TYPES": "log=7d, llm_start=2w"}).retain_types == load({}, {}, file).retain_types


@pytest.mark.parametrize("text", ["log", "log=7", "=7d", "log=7d,log=8d"])
def test_lengths_by_type_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match=r"VECTADB_RETAIN_TYPES: found .*expected lengths by type"):
        load({}, {"VECTADB_RETAIN_TYPES": text})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"VECTADB_PORT": "65536"}, "VECTADB_PORT: found '65536'; expected a whole number from 0 to 65535"),
        ({"VECTADB_PORT": "-1"}, "VECTADB_PORT"),
        ({"VECTADB_INSECURE": "perhaps"}, "VECTADB_INSECURE: found 'perhaps'; expected true or false"),
        ({"VECTADB_MAX_BODY": "16 parsecs"}, 'expected a size of at least 1 KiB, like "16 MiB" or 16777216'),
        ({"VECTADB_MAX_BODY": "5"}, "VECTADB_MAX_BODY"),
        ({"VECTADB_MAX_BATCH_EVENTS": "0"}, "expected a whole number from 1 to 1000000"),
        ({"VECTADB_DRAIN_TIMEOUT": "inf"}, "VECTADB_DRAIN_TIMEOUT"),
        ({"VECTADB_DRAIN_TIMEOUT": "nan"}, "VECTADB_DRAIN_TIMEOUT"),
        ({"VECTADB_RETAIN": "30"}, "VECTADB_RETAIN: found '30'; expected a number of days or weeks, like \"30d\""),
        ({"VECTADB_RETAIN": "0d"}, "VECTADB_RETAIN"),
        ({"VECTADB_RETAIN_EVENTS": "0"}, "VECTADB_RETAIN_EVENTS"),
        ({"VECTADB_DATA_DIR": "  "}, "VECTADB_DATA_DIR: found '  '; expected a directory"),
        ({"VECTADB_HOST": "0.0.0.0"}, "--insecure"),
        ({"VECTADB_HOST": "::"}, "--insecure"),
        ({"VECTADB_HOST": "vectadb.example"}, "--insecure"),
    ],
)
def test_wrong_values_are_refused_with_their_place(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({}, environ)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('porrt = 1\n"x" = 2', "v.toml: porrt: no such setting. Did you mean port?"),
        ("port = true", "v.toml: port: found True; expected a whole number from 0 to 65535"),
        ('port = [1]\nhost = "x"', "v.toml: port: found [1]"),
        ("port = ", "v.toml: not TOML: "),
        ("max_body = 1.5", "v.toml: max_body: found 1.5; expected a size"),
        ("insecure = 1", "v.toml: insecure: found 1; expected true or false"),
        ("\xff", "v.toml: not TOML: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "v.toml").write_text(content, "latin-1")
    with pytest.raises(SettingsError) as caught:
        load({}, {}, tmp_path / "v.toml")
    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"port": "x", "log_level": "y"}, {"VECTADB_MAX_BODY": "z"})
    assert len(str(caught.value).splitlines()) == 3


def test_insecure_is_enough() -> None:
    assert not load({"insecure": True}, {"VECTADB_HOST": "0.0.0.0"}).loopback
    assert load({}, {"VECTADB_HOST": "0.0.0.0", "VECTADB_INSECURE": "true"}).insecure


def test_misspelt_variables_are_told_and_strange_ones_are_not() -> None:
    environ = {
        "VECTADB_PROT": "1",
        "VECTADB_URL": "x",
        "VECTADB_CONFIG": "y",
        "VECTADB_SOMETHING_ELSE": "z",
        "PATH": "p",
    }
    assert strays(environ) == ["VECTADB_PROT is not a setting. Did you mean VECTADB_PORT?"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost."])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "localhost.example", "127.0.0.1.example", "10.0.0.1"])
def test_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


def test_every_setting_says_what_it_is() -> None:
    from typing import get_type_hints

    for hint in get_type_hints(Settings, include_extras=True).values():
        described = [meta for meta in hint.__metadata__ if getattr(meta, "description", None)]
        assert len(described) == 1
        assert described[0].extra["expected"]


def test_an_embedder_elsewhere_needs_its_url_and_model() -> None:
    with pytest.raises(SettingsError, match="embedder_url and embedder_model"):
        load({}, {"VECTADB_EMBEDDER": "openai", "VECTADB_EMBEDDER_MODEL": "small"})
    with pytest.raises(SettingsError, match=r"VECTADB_QDRANT_URL: found 'localhost:6333'.*http"):
        load({}, {"VECTADB_QDRANT_URL": "localhost:6333"})
    with pytest.raises(SettingsError, match="VECTADB_EMBEDDER_DIMENSIONS"):
        load({}, {"VECTADB_EMBEDDER_DIMENSIONS": "0"})


def test_keys_are_not_shown_and_may_stand_in_files(tmp_path: Path) -> None:
    settings = load({}, {"VECTADB_QDRANT_API_KEY": "open sesame"})
    assert "sesame" not in repr(settings)
    assert secret("qdrant_api_key", settings.qdrant_api_key, None) == "open sesame"
    file = tmp_path / "key"
    with pytest.raises(SettingsError, match=r"qdrant_api_key_file .*key: cannot be read"):
        secret("qdrant_api_key", None, file)
    file.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        secret("qdrant_api_key", None, file)
    file.write_text("from the file\n")
    assert secret("qdrant_api_key", settings.qdrant_api_key, file) == "from the file"


def test_the_password_of_the_remote_record_is_needed_and_not_shown() -> None:
    given = {"VECTADB_SURREAL_URL": "ws://db:8000"}
    assert "hunter2" not in repr(load({}, {**given, "VECTADB_SURREAL_PASSWORD": "hunter2"}))
    with pytest.raises(SettingsError, match="SURREAL_PASSWORD: not set"):
        load({}, given)


@pytest.mark.parametrize("url", ["http://db:8000", "ws://root:secret@db:8000", "db:8000", "ws://"])
def test_an_address_of_the_remote_record_is_one_of_a_web_socket_without_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"VECTADB_SURREAL_URL: found .*; expected an address like"):
        load({}, {"VECTADB_SURREAL_URL": url, "VECTADB_SURREAL_PASSWORD": "x"})


def test_the_first_key_is_strong_and_not_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("an-operators-own-random-text\n")
    chosen = load({}, {"VECTADB_BOOTSTRAP_KEY_FILE": str(file), "VECTADB_HOST": "0.0.0.0"})
    assert chosen.bootstrap_key == "an-operators-own-random-text"
    assert "own-random" not in repr(chosen)
    for environ, said in (
        ({"VECTADB_BOOTSTRAP_KEY": "hunter2"}, "VECTADB_BOOTSTRAP_KEY: found 7 characters; expected 24 to 512"),
        ({"VECTADB_BOOTSTRAP_KEY": "x" * 40}, "found only 1 different characters"),
        ({"VECTADB_BOOTSTRAP_KEY_FILE": str(tmp_path / "none")}, "none cannot be read: No such file"),
        ({"VECTADB_BOOTSTRAP_KEY_FILE": str(file), "VECTADB_BOOTSTRAP_KEY": "y" * 40}, "expected one of the two"),
    ):
        with pytest.raises(SettingsError) as caught:
            load({}, environ)
        assert said in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_origins_are_exact() -> None:
    chosen = load({}, {"VECTADB_CORS_ORIGINS": "https://App.example, http://localhost:3000"})
    assert chosen.cors_origins == ("https://app.example", "http://localhost:3000")
    for wrong in ("*", "app.example", "https://app.example/", "https://*.example", "null"):
        with pytest.raises(SettingsError, match="expected origins like"):
            load({}, {"VECTADB_CORS_ORIGINS": wrong})
