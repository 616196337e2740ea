"""Settings whose value lies in a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server import secret_files, settings

SECRET = "s3cret-canary"
HASH = "0f" * 32


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("COUNTERPOINT_") or name in {"OPENAI_API_KEY", "OPENAI_BASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _filed(monkeypatch: pytest.MonkeyPatch, path: Path, name: str, text: str) -> None:
    path.write_text(text, "utf-8")
    monkeypatch.setenv(name, str(path))


def test_a_setting_is_read_from_the_file_that_its_variable_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _filed(monkeypatch, tmp_path / "key", "COUNTERPOINT_MODEL_KEY_FILE", f"{SECRET}\n")
    _filed(monkeypatch, tmp_path / "url", "COUNTERPOINT_REDIS_URL_FILE", "redis://:pw@redis:6379/0")
    loaded = settings.load()
    assert loaded.model_key is not None
    assert loaded.model_key.get_secret_value() == SECRET
    assert loaded.redis_url == "redis://:pw@redis:6379/0"


def test_what_is_json_in_a_variable_is_json_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _filed(monkeypatch, tmp_path / "hash", "COUNTERPOINT_API_KEY_SHA256_FILE", f'["{HASH}"]\n')
    assert settings.load(host="0.0.0.0").api_key_sha256 == {HASH}


def test_a_file_wins_over_the_configuration_and_loses_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "counterpoint.toml").write_text("port = 1001\n", "utf-8")
    _filed(monkeypatch, tmp_path / "port", "COUNTERPOINT_PORT_FILE", "1002")
    assert settings.load().port == 1002
    assert settings.load(port=1003).port == 1003


def test_a_value_and_a_file_for_it_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _filed(monkeypatch, tmp_path / "key", "COUNTERPOINT_MODEL_KEY_FILE", SECRET)
    monkeypatch.setenv("COUNTERPOINT_MODEL_KEY", "other")
    with pytest.raises(settings.ConfigurationError, match="COUNTERPOINT_MODEL_KEY is set") as told:
        settings.load()
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"x" * 1_000_001])
def test_a_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("COUNTERPOINT_MODEL_KEY_FILE", str(path))
    with pytest.raises(settings.ConfigurationError, match=r"COUNTERPOINT_MODEL_KEY_FILE: .*key"):
        settings.load()


def test_a_setting_that_is_a_file_by_its_own_name_stays_one() -> None:
    found = secret_files.variables(settings.Settings.model_fields, prefix=settings.PREFIX)
    assert "COUNTERPOINT_POLICY_FILE" not in found
    assert found["COUNTERPOINT_API_KEY_FILE"] == "COUNTERPOINT_API_KEY"


def test_a_file_for_a_setting_that_there_is_not_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COUNTERPOINT_MODLE_KEY_FILE", "/nowhere")
    with pytest.raises(settings.ConfigurationError, match="COUNTERPOINT_MODLE_KEY_FILE: no such"):
        settings.load()
