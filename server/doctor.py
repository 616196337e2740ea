"""Looks at every part without starting it, and says how to mend what is not as it should be."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from graphs.keys import Keys
from graphs.saver import RedisSaver
from models import outside
from server import doctor_models, lock, redis_check, registry, sandboxing, serve, settings
from server.client import answers
from server.finding import Finding, State, failed, split
from server.redis_client import open_redis
from server.redis_server import RedisServer, RedisServerError, find_server
from tools.retrieval.errors import StoreError
from tools.retrieval.remote_knowledge import RemoteKnowledge
from tools.sandbox.find import Unavailable
from tools.sandbox.interpreter import find_bwrap

GIB = 1024**3
_LITTLE_SPACE = 2 * GIB
_NO_SPACE = GIB // 4
_SECONDS = 10.0
_PYTHONS = ((3, 11), (3, 14))


Check = Callable[[settings.Settings], Awaitable[list[Finding]]]


async def examine(configured: settings.Settings) -> list[Finding]:
    """Every part, in the order in which a start needs them."""
    checks: Sequence[tuple[str, Check]] = (
        ("Python", _python),
        ("Configuration", _configuration),
        ("Data folder", _data_folder),
        ("Redis", _redis),
        ("Documents", _documents),
        ("Scans", _scans),
        ("Chat model", doctor_models.chat_model),
        ("Embedder", doctor_models.embedder),
        ("Graphs", _graphs),
        ("Sandbox", _sandbox),
        ("Address", _address),
    )
    found = await asyncio.gather(*(_guarded(part, one, configured) for part, one in checks))
    return [finding for findings in found for finding in findings]


async def _guarded(part: str, check: Check, configured: settings.Settings) -> list[Finding]:
    try:
        return await check(configured)
    except (settings.ConfigurationError, lock.DataFolderUnusable) as error:
        return [failed(part, str(error))]
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
            return [failed(part, str(error))]
        live = lock.announced(configured.data_dir)
        if live is not None and not await RedisServer(configured.data_dir).answers():
            return [
                failed(
                    part,
                    f"that of the Counterpoint that runs (process {live.pid}) does not answer; see "
                    f"{RedisServer(configured.data_dir).log_file}, and start Counterpoint again",
                )
            ]
        detail = f"{binary.product} {binary.version}, {binary.path} (from {binary.origin})"
        return [Finding(part=part, state=State.OK, detail=detail)]
    client = open_redis(url)
    try:
        async with asyncio.timeout(_SECONDS):
            facts = await redis_check.check(client, url=url)
            slow = await redis_check.slow(client)
    except (redis_check.RedisUnusable, TimeoutError) as error:
        return [failed(part, str(error) or f"{redis_check.shown(url)} does not answer; start it")]
    finally:
        await client.aclose()
    detail = f"{facts.product} {facts.version} at {redis_check.shown(url)}, {facts.durability}"
    if facts.replicas < configured.redis_replicas:
        return [
            Finding(
                part=part,
                state=State.FAIL,
                detail=f"{detail}; no run is accepted with fewer than {configured.redis_replicas}",
                remedy="start the replicas, or lower COUNTERPOINT_REDIS_REPLICAS",
            )
        ]
    return [
        Finding(part=part, state=State.OK, detail=detail),
        *([split(part, facts.full, state=State.FAIL)] if facts.full else []),
        *(split(part, said, state=State.WARN) for said in (*facts.warnings, slow) if said),
    ]


async def _documents(configured: settings.Settings) -> list[Finding]:
    part, url = "Documents", configured.qdrant_url
    if configured.knowledge_url is not None:
        return [await _keeper(configured.knowledge_url, key=configured.knowledge_key)]
    if url is None:
        version = metadata.version("qdrant-edge-py")
        return [Finding(part=part, state=State.OK, detail=f"qdrant-edge-py {version}, in process")]
    key = configured.qdrant_key
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, **outside.options(url)) as client:
            headers = {"api-key": key.get_secret_value()} if key else {}
            reply = await client.get(url, headers=headers)
        if reply.status_code in {401, 403}:
            return [failed(part, f"{url} refuses the key; correct COUNTERPOINT_QDRANT_KEY")]
        detail = f"Qdrant {reply.json()['version']} at {url}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        reason = str(error) or type(error).__name__
        return [
            failed(
                part,
                f"{url} is no Qdrant that answers ({reason}); start it, or unset "
                "COUNTERPOINT_QDRANT_URL to use the engine in process",
            )
        ]
    return [Finding(part=part, state=State.OK, detail=detail)]


async def _scans(configured: settings.Settings) -> list[Finding]:
    """Whether pages without text can be read, and in which languages."""
    part = "Scans"
    if configured.ocr != "auto" or configured.knowledge_url is not None:
        why = (
            "not read (ocr is off)" if configured.ocr != "auto" else "read where documents are kept"
        )
        return [Finding(part=part, state=State.OK, detail=why)]
    ocr = configured.scans()
    if ocr is None:
        detail = "Tesseract is not there, so scanned pages are not read"
        remedy = "if you have scans, install it (Debian: apt-get install tesseract-ocr)"
        return [Finding(part=part, state=State.WARN, detail=detail, remedy=remedy)]
    process = await asyncio.create_subprocess_exec(
        ocr.program,
        "--list-langs",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [failed(part, f"{ocr.program} does not answer; install it anew")]
    there = set(said.decode(errors="replace").split())
    lacking = [one for one in ocr.languages.split("+") if one not in there]
    if process.returncode != 0 or lacking:
        detail = f"{ocr.program} has not the language {', '.join(lacking) or ocr.languages}"
        remedy = "install its package (such as tesseract-ocr-deu), or change ocr_languages"
        return [Finding(part=part, state=State.WARN, detail=detail, remedy=remedy)]
    return [Finding(part=part, state=State.OK, detail=f"{ocr.program}, languages {ocr.languages}")]


async def _graphs(configured: settings.Settings) -> list[Finding]:
    """Loads the graphs of one's own, where there are some; Redis is not asked."""
    part = "Graphs"
    if not configured.graphs and configured.langgraph_json is None:
        return []
    redis, keys = open_redis("redis://127.0.0.1"), Keys()
    try:
        found, _, notes = registry.configured(
            configured, redis=redis, keys=keys, saver=RedisSaver(redis, keys)
        )
        async with found:
            names = ", ".join(found.names)
    except settings.ConfigurationError as error:
        return [failed(part, str(error))]
    finally:
        await redis.aclose()
    return [
        Finding(part=part, state=State.OK, detail=names),
        *(split(part, note, state=State.WARN) for note in notes),
    ]


async def _keeper(url: str, *, key: SecretStr | None) -> Finding:
    secret = key.get_secret_value() if key else None
    try:
        async with RemoteKnowledge.open(url, key=secret) as remote:
            version = await remote.check()
    except StoreError as error:
        return failed("Documents", str(error))
    where = urlsplit(url).netloc.rpartition("@")[2]
    detail = f"kept by Counterpoint {version} at {where}"
    return Finding(part="Documents", state=State.OK, detail=detail)


async def _sandbox(configured: settings.Settings) -> list[Finding]:
    part = "Sandbox"
    sandbox = await sandboxing.opened(configured)
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
        more = "" if sandboxing.libraries(sandbox) else f"; {sandboxing.ADDS}"
        complaint = await sandboxing.complaint(sandbox)
    finally:
        await sandbox.close()
    if complaint:
        return [split(part, complaint, state=State.FAIL)]
    missing = [one for one in isolation.guarantees if not one.holds]
    if isolation.kind == sandboxing.E2B:
        said = f"E2B at {configured.sandbox.e2b_domain}, a virtual machine a session"
    else:
        binary = find_bwrap(configured.bubblewrap)[0]
        said = f"{isolation.kind} {await _version(binary)}, {binary}"
    if configured.sandbox.hosts:
        said += f"; code may ask {', '.join(configured.sandbox.hosts)}"
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
    detail = f"{said}; all its guarantees hold here{more}"
    return [Finding(part=part, state=State.OK, detail=detail)]


async def _version(binary: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    return said.decode(errors="replace").strip().rpartition(" ")[2] or "of unknown version"


async def _address(configured: settings.Settings) -> list[Finding]:
    part = "Address"
    live, owner = lock.announced(configured.data_dir), lock.owner(configured.data_dir)
    if live is not None:
        detail = f"Counterpoint runs at {live.url} (process {live.pid})"
        if await answers(live.url):
            return [Finding(part=part, state=State.OK, detail=detail)]
        if owner == live.pid:
            return [failed(part, f"{detail} and does not answer; stop it, and start it again")]
    elif owner is not None:
        detail = f"a Counterpoint is starting or at work (process {owner})"
        return [Finding(part=part, state=State.WARN, detail=detail, remedy="wait for it")]
    try:
        with serve.listening(configured.host, configured.port):
            pass
    except serve.ListenError as error:
        return [failed(part, str(error))]
    where = f"{configured.host}:{configured.port}" if configured.port else "any free port"
    return [Finding(part=part, state=State.OK, detail=f"{where} is free")]
