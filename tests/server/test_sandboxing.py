"""What the settings say of the sandbox, and what people and models are told of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from pydantic import SecretStr

from server import doctor, sandboxing
from server.finding import State
from server.sandbox_section import SandboxSettings
from server.settings import ConfigurationError, Settings, load
from tools.run_python import run_python
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import MEBIBYTE, Guarantee, Isolation
from tools.sandbox.scripted import ScriptedSandbox
from tools.sandbox.threads import ThreadSessions
from tools.tool import Effect
from tools.web.addresses import RefusedError


@dataclass(kw_only=True)
class Described(ScriptedSandbox):
    """A sandbox whose Python is as given."""

    python: str

    def describe(self) -> Isolation:
        python = Guarantee(name="python", holds=True, detail=self.python)
        return Isolation(kind="bubblewrap", guarantees=(python,))


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    limits = sandboxing.limits_of(Settings(data_dir=tmp_path, sandbox_seconds=3, sandbox_memory=99))
    assert (limits.seconds, limits.memory_bytes) == (3, 99 * MEBIBYTE)


def test_packages_lie_where_the_settings_say(tmp_path: Path) -> None:
    named = Settings(data_dir=tmp_path, sandbox=SandboxSettings(folder=tmp_path / "own"))
    assert sandboxing.packages_folder(named) == tmp_path / "own"


@pytest.mark.parametrize("user", [0, 1000])
def test_packages_of_root_lie_where_others_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    above = tmp_path if user else Path("/var/lib/counterpoint")
    folder = sandboxing.packages_folder(Settings(data_dir=tmp_path))
    assert folder == above / "sandbox-packages"


def test_without_packages_the_remedy_is_told_and_with_them_a_model_hears_of_them() -> None:
    plain = Described(python="3.13 (/usr/bin/python3), standard library")
    equipped = Described(python="3.13 (/usr/bin/python3), packages in /srv/packages")
    assert sandboxing.told(plain) == f"run in bubblewrap; {sandboxing.ADDS}"
    assert sandboxing.libraries(plain) == ""
    assert sandboxing.told(equipped) == "run in bubblewrap"
    assert "pandas" in sandboxing.libraries(equipped)


async def test_a_strict_sandbox_is_none_where_a_guarantee_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.sandbox.seccomp.supported", lambda machine: False)
    strict = Settings(data_dir=tmp_path, sandbox=SandboxSettings(strict=True))
    found = await sandboxing.opened(strict)
    assert isinstance(found, Unavailable)
    if "bwrap" not in found.reason:
        assert "strict" in found.reason
        assert "system calls" in found.reason
        assert found.remedy == "mend that, or set sandbox.strict = false"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where no configuration lies."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COUNTERPOINT_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_key_of_e2bs_takes_code_there_unless_local_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandboxing.kind_of(load()) == "local"
    monkeypatch.setenv("E2B_API_KEY", "e2b_secret")
    monkeypatch.setenv("E2B_DOMAIN", "e2b.internal")
    found = load()
    assert sandboxing.kind_of(found) == "e2b"
    assert found.sandbox.e2b_domain == "e2b.internal"
    assert "e2b_secret" not in repr(found)
    (folder / "counterpoint.toml").write_text('[sandbox]\ne2b_domain = "own.example"\nwarm = 0\n')
    assert load().sandbox.e2b_domain == "own.example"
    assert sandboxing.kind_of(load()) == "e2b"
    monkeypatch.setenv("COUNTERPOINT_SANDBOX", '{"kind": "local"}')
    assert sandboxing.kind_of(load()) == "local"
    assert load().sandbox.warm == 0


def test_e2b_without_a_key_stops_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOINT_SANDBOX", '{"kind": "e2b"}')
    with pytest.raises(ConfigurationError, match=r"sandbox: e2b_key: .*E2B_API_KEY"):
        load()


async def test_no_code_is_run_where_that_is_said(folder: Path) -> None:
    found = await sandboxing.opened(load(sandbox=SandboxSettings(kind="none")))
    assert isinstance(found, Unavailable)
    assert "sandbox.kind" in found.remedy


async def test_e2b_is_opened_as_configured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("e2b_code_interpreter", reason="the extra e2b is not installed")
    chosen = SandboxSettings(e2b_key=SecretStr("e2b_secret"), hosts=("api.example.com",))
    settings = load(sandbox=chosen)
    sandbox = await sandboxing.opened(settings)
    assert not isinstance(sandbox, Unavailable)
    assert sandbox.describe().kind == "e2b"
    assert "api.example.com alone" in str(sandbox.describe())
    assert "pandas" in sandboxing.libraries(sandbox)
    await sandbox.close()
    monkeypatch.setattr(sandboxing, "find_spec", lambda name: None)
    found = await sandboxing.opened(settings)
    assert isinstance(found, Unavailable)
    assert "-e '.[e2b]'" in found.remedy


async def test_doctor_says_where_code_runs_and_that_e2b_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    pytest.importorskip("e2b_code_interpreter", reason="the extra e2b is not installed")
    (none,) = await doctor._sandbox(load(sandbox=SandboxSettings(kind="none")))
    assert "runs no code" in none.detail
    chosen = SandboxSettings(e2b_key=SecretStr("e2b_secret"), e2b_domain="e2b.invalid")
    (away,) = await doctor._sandbox(load(sandbox=chosen))
    assert away.state is State.FAIL
    assert "E2B at e2b.invalid" in away.detail
    assert "e2b_secret" not in str(away)


@pytest.mark.parametrize("hosts", [["10.0.0.1"], ["*"], ["https://api.example.com"]])
def test_hosts_that_are_no_names_stop_the_start(folder: Path, hosts: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"sandbox\.hosts: .* is no host"):
        load(sandbox={"hosts": hosts})


def test_a_tool_that_reaches_hosts_says_so_and_is_a_write() -> None:
    tool = run_python(ThreadSessions(ScriptedSandbox([])))
    assert sandboxing.reaching(tool, ()) is tool
    reaching = sandboxing.reaching(tool, ("api.example.com",))
    assert reaching.effect is Effect.WRITES_ONCE
    assert "HTTP and HTTPS to api.example.com alone" in reaching.description
    assert "without network" not in reaching.description


def test_what_hosts_may_lie_at_and_which_ports_come_from_the_settings(folder: Path) -> None:
    assert sandboxing.egress_of(load()) is None
    chosen = SandboxSettings(hosts=("API.example.com",), allow=("10.1.0.0/16",), ports=(443,))
    egress = sandboxing.egress_of(load(sandbox=chosen))
    assert egress is not None
    assert (egress.patterns, egress.ports) == (("api.example.com",), frozenset({443}))
    egress.opened.judge("api.example.com", ip_address("10.1.2.3"))
    with pytest.raises(RefusedError):
        egress.opened.judge("api.example.com", ip_address("10.2.0.1"))
