"""Settings: typed, from the file and the environment, and nothing unknown gets through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server import settings
from server.sections import CallerRole

HASH = "0f" * 32


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("COUNTERPOINT_") or name in {"OPENAI_API_KEY", "OPENAI_BASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_with_nothing_configured_the_local_model_answers_on_loopback() -> None:
    loaded = settings.load()
    assert (loaded.host, loaded.port, loaded.model_url) == ("127.0.0.1", 8000, None)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "counterpoint.toml").write_text("port = 1001\nmax_steps = 7\n", "utf-8")
    assert settings.load().port == 1001
    monkeypatch.setenv("COUNTERPOINT_PORT", "1002")
    assert (settings.load().port, settings.load().max_steps) == (1002, 7)
    assert settings.load(port=1003, host=None).port == 1003


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("COUNTERPOINT_PROT", "8000", "COUNTERPOINT_PROT: no such setting"),
        ("COUNTERPOINT_PORT", "many", "port: "),
        ("COUNTERPOINT_MODEL_TOOLS", "maybe", "model_tools: "),
        ("COUNTERPOINT_HOST", "0.0.0.0", "host: 0.0.0.0 is open to others"),
        (
            "COUNTERPOINT_MODEL_URL",
            "http://h/v1",
            "COUNTERPOINT_MODEL_URL needs COUNTERPOINT_MODEL",
        ),
        (
            "COUNTERPOINT_CONFIG",
            "/nowhere.toml",
            "COUNTERPOINT_CONFIG: /nowhere.toml does not exist",
        ),
    ],
)
def test_a_bad_variable_stops_the_start_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(settings.ConfigurationError) as refused:
        settings.load()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "prot: no such setting"),
        ("port = [", "counterpoint.toml: "),
        ('[models.big]\nurl = "http://h/v1"', "models.big.model: "),
        ('[models.big]\nurl = "http://h/v1"\nmodel = "m"\nkolor = 1', "models.big.kolor: no such"),
        ('[roles]\nworker = "big"', "roles.worker: no model named 'big'"),
        ('[[keys]]\nname = "ann"\nsha256 = "abc"', "keys.0.sha256: "),
        (f'[[keys]]\nname = "ann"\nsha256 = "{HASH}"\nroles = ["boss"]', "keys.0.roles.0: "),
        (f'[[keys]]\nname = "ann"\nsha256 = "{HASH}"\ntenant = "a:b"', "keys.0.tenant: "),
        (f'api_key_sha256 = ["{HASH}"]\n[[keys]]\nname = "ann"\nsha256 = "{HASH}"', "keys: one"),
        ('[[policy]]\ntool = "*"\neffect = "perhaps"', "policy.0.effect: "),
    ],
)
def test_a_bad_file_stops_the_start_with_the_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "counterpoint.toml").write_text(text, "utf-8")
    with pytest.raises(settings.ConfigurationError) as refused:
        settings.load()
    assert message in str(refused.value)


def test_an_openai_key_alone_selects_openai(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    loaded = settings.load()
    assert loaded.model_url is not None
    assert loaded.model_url.startswith("https://api.openai.com")
    assert "sk-canary" not in repr(loaded)
    (tmp_path / "counterpoint.toml").write_text(
        'model_url = "http://h/v1"\nmodel = "mine"', encoding="utf-8"
    )
    assert settings.load().model == "mine"


def test_named_keys_open_a_host_to_others(tmp_path: Path) -> None:
    (tmp_path / "counterpoint.toml").write_text(
        f'host = "0.0.0.0"\n[[keys]]\nname = "ann"\nsha256 = "{HASH}"\n', encoding="utf-8"
    )
    loaded = settings.load()
    assert loaded.has_keys
    (key,) = loaded.keys
    assert (key.name, key.tenant, key.roles) == ("ann", "default", (CallerRole.USER,))


def test_what_stays_of_a_thread_and_what_is_read_back_is_checked_at_the_start() -> None:
    with pytest.raises(settings.ConfigurationError, match=r"checkpoint_retention.*use all, latest"):
        settings.load(checkpoint_retention="some")
    with pytest.raises(
        settings.ConfigurationError, match=r"checkpoint_classes.*package\.module:Class"
    ):
        settings.load(checkpoint_classes=["shop.Order"])
    found = settings.load(checkpoint_retention="20", checkpoint_classes=["shop.state:Order"])
    assert found.checkpoint_class_names == [("shop.state", "Order")]
