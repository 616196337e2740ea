"""Artifacts from the Hugging Face hub, or from a mirror that speaks like it."""

from __future__ import annotations

import asyncio
import re

import httpx

from models import outside
from models.artifacts import Artifact, HubFile, SourceError
from models.partfile import OverlongError, PartFile
from models.progress import Progress

HUB_URL = "https://huggingface.co"

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_ATTEMPTS = 4
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


async def download(
    source: HubFile,
    *,
    artifact: Artifact,
    part: PartFile,
    progress: Progress,
    hub_url: str = HUB_URL,
    retry_seconds: float = 1.0,
) -> None:
    """Fill ``part``, going on where it ends; raises ``SourceError`` where the hub cannot.

    A lost connection is taken up again once bytes have come, and as long as they keep coming.
    """
    url = f"{hub_url.rstrip('/')}/{source.repo}/resolve/{source.revision}/{source.path}"
    host = httpx.URL(url).host
    timeout = httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    headers = {"accept-encoding": "identity"}
    try:
        reached = outside.options(url)
    except httpx.ProxyError as error:
        raise SourceError(f"{host} cannot be asked ({_reason(error)})") from error
    async with httpx.AsyncClient(
        follow_redirects=True, timeout=timeout, headers=headers, **reached
    ) as client:
        begun, failures = part.length, 0
        while not part.complete:
            before = part.length
            try:
                await _stream(client, url, artifact=artifact, part=part, progress=progress)
            except httpx.TransportError as error:
                if part.length == begun:
                    raise SourceError(f"{host} cannot be reached ({_reason(error)})") from error
                failures = 1 if part.length > before else failures + 1
                if failures == _ATTEMPTS:
                    raise SourceError(f"{host} broke off {failures} times in a row") from error
                progress.note(f"{host} broke off ({_reason(error)}); going on where it stopped")
                await asyncio.sleep(retry_seconds * failures)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise SourceError(f"{host} cannot be used ({_reason(error)})") from error


async def _stream(
    client: httpx.AsyncClient, url: str, *, artifact: Artifact, part: PartFile, progress: Progress
) -> None:
    headers = {"range": f"bytes={part.length}-"} if part.length else {}
    async with client.stream("GET", url, headers=headers) as response:
        host = httpx.URL(url).host
        offset, total = _extent(response)
        if response.status_code not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            raise SourceError(f"{host} answered {response.status_code}")
        if total != artifact.size:
            # A sign-in page answers 200 as well.
            raise SourceError(f"{host} has another file there ({total or 'unknown'} bytes)")
        if offset != part.length:
            if offset != 0:
                raise SourceError(f"{host} answered with another range than was asked for")
            await asyncio.to_thread(part.cut, 0)
        progress.start(
            artifact.filename,
            total=artifact.size,
            have=part.length,
            destination=part.path.parent,
            source=host,
        )
        try:
            # As they come: gathered into larger ones, a cut would lose the last of them.
            async for chunk in response.aiter_raw():
                await asyncio.to_thread(part.write, chunk)
                progress.advance(len(chunk))
        except OverlongError as error:
            await asyncio.to_thread(part.cut, 0)
            raise SourceError(f"{host} sent more than it said") from error
        finally:
            progress.done()


def _extent(response: httpx.Response) -> tuple[int, int | None]:
    """Where the answer begins in the whole file, and how long the whole file is."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        return (int(match[1]), int(match[2])) if match else (0, None)
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isdecimal() else None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
