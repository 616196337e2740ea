"""What the settings say of the sandbox, and what people and models are told of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from server import sandboxing
from server.sandbox_section import SandboxSettings
from server.settings import Settings
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import MEBIBYTE, Guarantee, Isolation
from tools.sandbox.scripted import ScriptedSandbox


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
