"""Looks at every part without starting it, and says how to mend what is not as it should be."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import httpx

from models import catalogue
from models.artifacts import Artifact
from models.fetch import Presence, presence
from models.registry import ModelSpec, is_private
from server import house_models, lock, redis_check, serve, settings
from server.client import answers
from server.redis_client import open_redis
from server.redis_server import RedisServerError, find_server
from tools.sandbox.find import Unavailable, open_sandbox
from tools.sandbox.interpreter import find_bwrap

GIB = 1024**3
_LITTLE_SPACE = 2 * GIB
_NO_SPACE = GIB // 4
_SECONDS = 10.0
_PYTHONS = ((3, 11), (3, 14))


class State(StrEnum):
    """How a part is. A warning does not keep Counterpoint from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part: what was found and, where it is not right, what mends it."""

    part: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[settings.Settings], Awaitable[list[Finding]]]


async def examine(configured: settings.Settings) -> list[Finding]:
    """Every part, in the order in which a start needs them."""
    checks: Sequence[tuple[str, Check]] = (
        ("Python", _python),
        ("Configuration", _configuration),
        ("Data folder", _data_folder),
        ("Redis", _redis),
        ("Documents", _documents),
        ("Chat model", _chat_model),
        ("Embedder", _embedder),
        ("Sandbox", _sandbox),
        ("Address", _address),
    )
    found = await asyncio.gather(*(_guarded(part, one, configured) for part, one in checks))
    return [finding for findings in found for finding in findings]


async def _guarded(part: str, check: Check, configured: settings.Settings) -> list[Finding]:
    try:
        return await check(configured)
    except Exception as error:  # noqa: BLE001 - one broken part must not hide the others
        detail = f"cannot be looked at ({type(error).__name__}: {error})"
        return [Finding(part=part, state=State.FAIL, detail=detail, remedy="report this")]


async def _python(_: settings.Settings) -> list[Finding]:
    right = _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]
    return [
        Finding(
            part="Python",
            state=State.OK if right else State.FAIL,
            detail=f"{platform.python_version()}, {sys.executable}",
            remedy="" if right else "use Python 3.11, 3.12 or 3.13",
        )
    ]


async def _configuration(_: settings.Settings) -> list[Finding]:
    sources = settings.sources()
    detail = ", ".join(sources) if sources else "defaults alone"
    return [Finding(part="Configuration", state=State.OK, detail=detail)]


async def _data_folder(configured: settings.Settings) -> list[Finding]:
    folder = configured.data_dir
    there = next(path for path in (folder, *folder.parents) if path.exists())
    elsewhere = "choose another with COUNTERPOINT_DATA_DIR"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [
            Finding(
                part="Data folder",
                state=State.FAIL,
                detail=f"{folder}: {there} cannot be written",
                remedy=f"mend its permissions, or {elsewhere}",
            )
        ]
    free = shutil.disk_usage(there).free
    state = State.OK
    if free < _LITTLE_SPACE:
        state = State.WARN if free >= _NO_SPACE else State.FAIL
    new = "" if folder.exists() else ", not made yet"
    return [
        Finding(
            part="Data folder",
            state=state,
            detail=f"{folder}{new}, {free / GIB:.1f} GiB free",
            remedy="" if state is State.OK else f"free some space, or {elsewhere}",
        )
    ]


async def _redis(configured: settings.Settings) -> list[Finding]:
    part, url = "Redis", configured.redis_url
    if url is None:
        try:
            binary = await find_server()
        except RedisServerError as error:
            return [_failed(part, str(error))]
        detail = f"{binary.product} {binary.version}, {binary.path} (from {binary.origin})"
        return [Finding(part=part, state=State.OK, detail=detail)]
    client = open_redis(url)
    try:
        async with asyncio.timeout(_SECONDS):
            facts = await redis_check.check(client, url=url)
    except (redis_check.RedisUnusable, TimeoutError) as error:
        return [_failed(part, str(error) or f"{redis_check.shown(url)} does not answer; start it")]
    finally:
        await client.aclose()
    detail = f"{facts.product} {facts.version} at {redis_check.shown(url)}"
    if facts.warning:
        return [_split(part, facts.warning, state=State.WARN)]
    return [Finding(part=part, state=State.OK, detail=detail)]


async def _documents(configured: settings.Settings) -> list[Finding]:
    part, url = "Documents", configured.qdrant_url
    if url is None:
        version = metadata.version("qdrant-edge-py")
        return [Finding(part=part, state=State.OK, detail=f"qdrant-edge-py {version}, in process")]
    key = configured.qdrant_key
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=not is_private(url)) as client:
            headers = {"api-key": key.get_secret_value()} if key else {}
            reply = await client.get(url, headers=headers)
        if reply.status_code in {401, 403}:
            return [_failed(part, f"{url} refuses the key; correct COUNTERPOINT_QDRANT_KEY")]
        detail = f"Qdrant {reply.json()['version']} at {url}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        reason = str(error) or type(error).__name__
        return [
            _failed(
                part,
                f"{url} is no Qdrant that answers ({reason}); start it, or unset "
                "COUNTERPOINT_QDRANT_URL to use the engine in process",
            )
        ]
    return [Finding(part=part, state=State.OK, detail=detail)]


async def _chat_model(configured: settings.Settings) -> list[Finding]:
    registry = house_models.configured(configured)
    if registry is None:
        return [await _llama(), await _weights("Chat model", (catalogue.CHAT,), configured)]
    names = dict.fromkeys(registry.roles.values())
    return list(await asyncio.gather(*(_endpoint(registry.named(name)) for name in names)))


async def _endpoint(spec: ModelSpec) -> Finding:
    """Asks for the list of models, which costs nothing."""
    part = "Chat model"
    said = f"{spec.model} at {spec.url}, tools {spec.tools.value}"
    headers = {"authorization": f"Bearer {spec.key.get_secret_value()}"} if spec.key else {}
    try:
        async with httpx.AsyncClient(
            timeout=_SECONDS, trust_env=not is_private(spec.url)
        ) as client:
            reply = await client.get(f"{spec.url.rstrip('/')}/models", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        return _failed(part, f"{spec.url} does not answer ({reason}); start it, or correct its URL")
    if reply.status_code in {401, 403}:
        return _failed(part, f"{spec.url} refuses the key; correct COUNTERPOINT_MODEL_KEY")
    if not reply.is_success:
        # Some serve chat completions and nothing else.
        return Finding(
            part=part,
            state=State.WARN,
            detail=f"{said}: reached, but it does not list its models ({reply.status_code})",
            remedy="ask it a question to be sure",
        )
    try:
        listed = [str(model["id"]) for model in reply.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return _failed(part, f"{spec.url} is not OpenAI-compatible; its URL has to end in /v1")
    if spec.model not in listed:
        known = ", ".join(listed[:5]) or "none"
        return Finding(
            part=part,
            state=State.WARN,
            detail=f"{said}: not among the models that it lists ({known})",
            remedy="correct COUNTERPOINT_MODEL, unless it answers to an alias",
        )
    return Finding(part=part, state=State.OK, detail=said)


async def _llama() -> Finding:
    part = "llama.cpp"
    version = metadata.version("xllamacpp")
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return Finding(
            part=part,
            state=State.FAIL,
            detail=f"xllamacpp {version}, but the system has no libgomp.so.1",
            remedy="apt-get install libgomp1 (Fedora: dnf install libgomp), or use a model URL",
        )
    # In a process of its own: on an old processor the import ends the process.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        "import xllamacpp",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    if process.returncode != 0:
        words = complaint.decode(errors="replace").strip().splitlines()
        return Finding(
            part=part,
            state=State.FAIL,
            detail=f"xllamacpp {version} cannot be loaded: {words[-1] if words else 'it crashed'}",
            remedy="install it again, or use a model URL (COUNTERPOINT_MODEL_URL)",
        )
    return Finding(part=part, state=State.OK, detail=f"xllamacpp {version}")


async def _embedder(configured: settings.Settings) -> list[Finding]:
    return [await _weights("Embedder", catalogue.EMBEDDER, configured)]


async def _weights(
    part: str, artifacts: Sequence[Artifact], configured: settings.Settings
) -> Finding:
    folder = configured.models_dir
    states = [await presence(artifact, folder) for artifact in artifacts]
    names = ", ".join(artifact.filename for artifact in artifacts)
    if Presence.DAMAGED in states:
        return Finding(
            part=part,
            state=State.WARN,
            detail=f"a file in {folder} is not the one that it should be ({names})",
            remedy="the next start fetches it again; or now: counterpoint models pull",
        )
    if Presence.ABSENT in states:
        size = sum(artifact.size for artifact in artifacts) / 1e6
        return Finding(
            part=part,
            state=State.WARN,
            detail=f"{names} ({size:,.0f} MB) not in {folder} yet",
            remedy="the first start fetches it; or now: counterpoint models pull",
        )
    return Finding(part=part, state=State.OK, detail=f"{names}, verified, in {folder}")


async def _sandbox(configured: settings.Settings) -> list[Finding]:
    part = "Sandbox"
    sandbox = await open_sandbox(bwrap=configured.bubblewrap)
    if isinstance(sandbox, Unavailable):
        return [
            Finding(
                part=part,
                state=State.WARN,
                detail=f"{sandbox.reason}; the team works, but runs no code",
                remedy=sandbox.remedy,
            )
        ]
    try:
        isolation = sandbox.describe()
    finally:
        await sandbox.close()
    binary = find_bwrap(configured.bubblewrap)[0]
    missing = [one for one in isolation.guarantees if not one.holds]
    said = f"{isolation.kind} {await _version(binary)}, {binary}"
    if missing:
        lacking = "; ".join(f"{one.name}: {one.detail}" for one in missing)
        return [
            Finding(
                part=part,
                state=State.WARN,
                detail=f"{said}; does not hold here: {lacking}",
                remedy="`counterpoint sandbox check` shows what is held off all the same",
            )
        ]
    return [Finding(part=part, state=State.OK, detail=f"{said}; all its guarantees hold here")]


async def _version(binary: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    return said.decode(errors="replace").strip().rpartition(" ")[2] or "of unknown version"


async def _address(configured: settings.Settings) -> list[Finding]:
    part = "Address"
    live = lock.announced(configured.data_dir)
    if live is not None and await answers(live.url):
        detail = f"Counterpoint runs at {live.url} (process {live.pid})"
        return [Finding(part=part, state=State.OK, detail=detail)]
    try:
        with serve.listening(configured.host, configured.port):
            pass
    except serve.ListenError as error:
        return [_failed(part, str(error))]
    where = f"{configured.host}:{configured.port}" if configured.port else "any free port"
    return [Finding(part=part, state=State.OK, detail=f"{where} is free")]


def _failed(part: str, message: str) -> Finding:
    return _split(part, message, state=State.FAIL)


def _split(part: str, message: str, *, state: State) -> Finding:
    """An error's line holds the remedy behind its last semicolon or colon."""
    detail, mark, remedy = message.rpartition("; ")
    if not mark:
        detail, mark, remedy = message.partition(": ")
    return Finding(part=part, state=state, detail=detail or message, remedy=remedy)
