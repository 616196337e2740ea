"""Looks at the chat models and the embedder."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata

import httpx

from models import catalogue, load_reading, outside
from models.artifacts import Artifact
from models.fetch import Presence, presence
from models.registry import ModelSpec
from server import house_models, model_routing, settings
from server.finding import Finding, State, failed

_SECONDS = 10.0


async def chat_model(configured: settings.Settings) -> list[Finding]:
    """What answers: the endpoints of all roles, or llama.cpp and its weights."""
    registry = house_models.configured(configured)
    if registry is None:
        return [await _llama(), await _weights("Chat model", (catalogue.CHAT,), configured)]
    specs = [registry.named(name) for name in model_routing.needed(registry)]
    findings = await asyncio.gather(*(_endpoints(spec, alone=len(specs) == 1) for spec in specs))
    return [found for each in findings for found in each]


async def _endpoints(spec: ModelSpec, *, alone: bool) -> list[Finding]:
    """A model's endpoints; one that is out does not matter so much where another one serves."""
    each = [replace(spec, url=url, urls=()) for url in spec.endpoints]
    findings = list(await asyncio.gather(*(_endpoint(one) for one in each)))
    if alone and len(each) == 1:
        return findings
    loads = await asyncio.gather(*(_load(one) for one in each))
    findings = [
        replace(found, detail=found.detail + load)
        for found, load in zip(findings, loads, strict=True)
    ]
    if all(found.state is State.FAIL for found in findings):
        return findings
    return [
        replace(found, state=State.WARN) if found.state is State.FAIL else found
        for found in findings
    ]


async def _load(spec: ModelSpec) -> str:
    """What an endpoint tells of its load, to be said behind the rest; nothing where it does not."""
    try:
        async with load_reading.opened(spec.url, spec) as client:
            found = await load_reading.read(client, spec.url, model=spec.model)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        found = None
    if found is None:
        return ""
    cache = "" if found.kv_cache is None else f", KV cache {found.kv_cache:.0%} full"
    return f"; {found.running:.0f} running, {found.waiting:.0f} waiting{cache}"


async def _endpoint(spec: ModelSpec) -> Finding:
    """Asks for the list of models, which costs nothing."""
    part = "Chat model"
    said = f"{spec.model} at {spec.place}, tools {spec.tools.value}"
    headers = {"authorization": f"Bearer {spec.key.get_secret_value()}"} if spec.key else {}
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, **outside.options(spec.url)) as client:
            reply = await client.get(f"{spec.url.rstrip('/')}/models", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        return failed(
            part, f"{spec.place} does not answer ({reason}); start it, or correct its URL"
        )
    if reply.status_code in {401, 403}:
        return failed(part, f"{spec.place} refuses the key; correct COUNTERPOINT_MODEL_KEY")
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
        return failed(part, f"{spec.place} is not OpenAI-compatible; its URL has to end in /v1")
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


async def embedder(configured: settings.Settings) -> list[Finding]:
    """What places documents: its weights, unless another process has them."""
    if configured.knowledge_url is not None:
        return []
    if configured.embedder != "minilm":
        told = f"{configured.embedder_model}, {configured.embedder_url or configured.embedder}"
        return [Finding(part="Embedder", state=State.OK, detail=f"{told}; opened at the start")]
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
