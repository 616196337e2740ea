"""Settings: typed, from the file and the environment, and nothing unknown gets through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardrails import policy
from guardrails.budgets import Budget, Period
from server import policy_section, settings
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
        ("COUNTERPOINT_CORS_ORIGINS", "http://a.example", "COUNTERPOINT_CORS_ORIGINS: no JSON; a "),
        ("COUNTERPOINT_SANDBOX", "none", "COUNTERPOINT_SANDBOX: no JSON; a list is written as"),
        ("COUNTERPOINT_REDIS_URL", "localhost:6379", "redis_url: no address of a Redis; write "),
        ("COUNTERPOINT_REDIS_URL", "redis://:a/b@h:1", "redis_url: no address of a Redis; write "),
        ("COUNTERPOINT_REDIS_URL", "", "redis_url: no address of a Redis; write "),
        ("COUNTERPOINT_QDRANT_URL", "localhost:6333", "qdrant_url: no http URL with a host; "),
        ("COUNTERPOINT_KNOWLEDGE_URL", "http://", "knowledge_url: no http URL with a host; "),
        ("COUNTERPOINT_MODEL_URLS", '["http://h:x/v1"]', "model_urls.0: no http URL with a host; "),
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


def test_who_has_no_home_folder_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container's user may be a number that nobody has an entry for."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(settings.ConfigurationError, match="no home folder; set HOME or both"):
        settings.load()
    assert settings.load(data_dir=tmp_path, models_dir=tmp_path).data_dir == tmp_path
    with pytest.raises(settings.ConfigurationError, match="starts in a home folder that does not"):
        settings.load(data_dir=tmp_path, models_dir=Path("~nobody/here"))


@pytest.mark.parametrize(
    "name", ["DATA_DIR", "MODELS_DIR", "MODELS_FROM", "LANGGRAPH_JSON", "BUBBLEWRAP"]
)
def test_a_path_that_names_nothing_is_not_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Redis, the documents and the log were put wherever the command was called."""
    monkeypatch.setenv(f"COUNTERPOINT_{name}", "")
    with pytest.raises(settings.ConfigurationError, match=f"{name.lower()}: names nothing"):
        settings.load()


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


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('effect = "ask"\nwhen = ["amount >> 5"]', "policy.0.when: 'amount >> 5'"),
        ('effect = "ask"\nwhen = ["amount > many"]', "needs a number"),
        ('effect = "ask"\nwhen = ["path under data"]', "as an absolute path"),
        ('effect = "ask"\nwhen = ["host in https://a.com"]', "is no host"),
        (
            'effect = "ask"\n[policy.arguments]\nminmum = 3',
            "policy.0.arguments: minmum: not judged",
        ),
        ('effect = "ask"\n[policy.arguments]\ntype = "numbr"', "policy.0.arguments: type: "),
        ('effect = "ask"\nexpires = "soon"', "policy.0.expires: 'soon' is no span of time"),
        ('effect = "ask"\nexpires = 0', "policy.0.expires: has to be more than 0"),
        ('effect = "ask"\nexpires = 1e12', "policy.0.expires: is more than a hundred years"),
        ('effect = "ask"\nexpires = inf', "policy.0.expires: is more than a hundred years"),
        ('effect = "ask"\nchoices = []', "policy.0.choices: "),
        ('effect = "ask"\napprovers = ["boss"]', "policy.0.approvers.0: "),
        ('effect = "ask"\nquorum = 2', "policy.0.quorum: 2 have to decide"),
        ('effect = "allow"\nquorum = 2', 'policy.0: quorum: only a rule with effect = "ask"'),
        ('effect = "allow"\n[[policy]]\ntool = "b"\neffect = "deny"', "policy.1: is never reached"),
    ],
)
def test_a_rule_that_cannot_work_stops_the_start_and_is_named(
    tmp_path: Path, rule: str, message: str
) -> None:
    (tmp_path / "counterpoint.toml").write_text(f'[[policy]]\ntool = "*"\n{rule}', "utf-8")
    with pytest.raises(settings.ConfigurationError) as refused:
        settings.load()
    assert message in str(refused.value)


def test_one_person_may_approve_what_she_asked_for_and_with_keys_nobody_may(
    tmp_path: Path,
) -> None:
    rule = '[[policy]]\ntool = "*"\neffect = "ask"\nexpires = "4h"\n'
    (tmp_path / "counterpoint.toml").write_text(rule, "utf-8")
    (alone,) = _read()
    assert (alone.terms.self_approval, alone.terms.expires_seconds) == (True, 14_400)
    keys = f'[[keys]]\nname = "ann"\nsha256 = "{HASH}"\nroles = ["operator"]\n'
    (tmp_path / "counterpoint.toml").write_text(rule + keys, "utf-8")
    (keyed,) = _read()
    assert not keyed.terms.self_approval


def test_the_rules_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('[[policy]]\ntool = "a"\neffect = "allow"', "utf-8")
    configured = tmp_path / "counterpoint.toml"
    configured.write_text('policy_file = "rules.toml"', "utf-8")
    assert [rule.tool for rule in settings.load().policy] == ["a"]
    configured.write_text('policy_file = "rules.toml"\npolicy = []', "utf-8")
    with pytest.raises(settings.ConfigurationError, match="keep one of the two"):
        settings.load()
    configured.write_text('policy_file = "none.toml"', "utf-8")
    with pytest.raises(settings.ConfigurationError, match=r"policy_file: .*none\.toml"):
        settings.load()


def _read() -> tuple[policy.Rule, ...]:
    loaded = settings.load()
    return policy_section.read(loaded.policy, alone=not loaded.has_keys)


def test_a_tenant_has_its_own_budget_or_that_of_all(tmp_path: Path) -> None:
    assert settings.load().budget_of("acme") == {}
    (tmp_path / "counterpoint.toml").write_text(
        'max_model_calls = 12\n[budgets."*"]\nday = {cost = 5.0}\n'
        "[budgets.acme]\nmonth = {tokens = 1000}\n",
        encoding="utf-8",
    )
    loaded = settings.load()
    assert loaded.budget_of("acme") == {Period.DAY: Budget(), Period.MONTH: Budget(tokens=1000)}
    assert loaded.budget_of("other")[Period.DAY] == Budget(cost=5.0)
    limits = loaded.run_limits()
    assert (limits.model_calls, limits.tool_calls, limits.steps) == (12, None, 40)
    (tmp_path / "counterpoint.toml").write_text("[budgets.acme]\nyear = {cost = 5.0}", "utf-8")
    with pytest.raises(settings.ConfigurationError, match=r"budgets\.acme\.year: no such setting"):
        settings.load()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[budgets.acme]\nday = {cost = inf}", r"budgets\.acme\.day\.cost: .*finite"),
        ("[budgets.acme]\nmonth = {seconds = nan}", r"budgets\.acme\.month\.seconds: "),
        ('[budgets."acme corp"]\nday = {cost = 1}', r"budgets: 'acme corp' is no tenant's name"),
    ],
    ids=["endless", "nothing", "nobody"],
)
def test_a_budget_that_limits_nothing_or_nobody_is_refused(
    tmp_path: Path, written: str, told: str
) -> None:
    (tmp_path / "counterpoint.toml").write_text(written, "utf-8")
    with pytest.raises(settings.ConfigurationError, match=told):
        settings.load()
