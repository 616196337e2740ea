"""The settings of Slack: from its own variables too, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import settings


def test_the_tokens_may_come_from_slacks_own_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not settings.load().has_slack
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1234")
    with pytest.raises(settings.ConfigurationError, match="SLACK_SIGNING_SECRET"):
        settings.load()
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "shibboleth")
    loaded = settings.load()
    assert loaded.has_slack
    assert "xoxb-1234" not in repr(loaded)
    assert "shibboleth" not in repr(loaded)
    assert {"SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"} <= set(settings.sources())
    (tmp_path / "counterpoint.toml").write_text('slack_bot_token = "xoxb-of-the-file"\n')
    token = settings.load().slack_bot_token
    assert token is not None
    assert token.get_secret_value() == "xoxb-of-the-file"


@pytest.mark.parametrize(
    ("person", "word"),
    [
        ("{}", "say who"),
        ('{email = "*@corp.example", name = "all"}', "it is for one person"),
        ('{user = "ann"}', "user"),
        ('{user = "U1", tenant = "a:b"}', "tenant"),
    ],
)
def test_a_line_about_people_that_fits_nobody_or_too_many_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counterpoint.toml").write_text(f"slack_people = [{person}]\n")
    with pytest.raises(settings.ConfigurationError, match=rf"slack_people\.0.*{word}"):
        settings.load()


@pytest.mark.parametrize("name", ["slack_bot_token", "slack_signing_secret", "slack_app_token"])
@pytest.mark.parametrize("value", ["", "  "], ids=["nothing", "spaces"])
def test_an_empty_token_is_none_and_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1234")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "shibboleth")
    monkeypatch.setenv(f"COUNTERPOINT_{name.upper()}", value)
    with pytest.raises(settings.ConfigurationError, match=f"(?i){name}.*is empty"):
        settings.load()
