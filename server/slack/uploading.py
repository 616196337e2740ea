"""What a run has made, uploaded into its thread in Slack under the answer."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import aiohttp

from server.artifacts.store import Kept, Origin
from server.runs.record import RunRecord
from server.slack.context import SlackContext
from server.slack.message import Writing
from server.slack.web import CALL_SECONDS, Refused, Unreachable

MOST_FILES = 10
_SECONDS = 120

_log = logging.getLogger(__name__)


class Uploading:
    """Uploads one file after the other, and notes each."""

    def __init__(self, context: SlackContext) -> None:
        self._context = context

    async def __call__(self, writing: Writing, record: RunRecord) -> None:
        """All that the run has made and that is not there yet. Raises what is to be tried again.

        Where Slack takes none, they are where the console shows them.
        """
        said = writing.said
        kept = await self._context.files.of_thread(
            record.thread_id, tenant=record.tenant, origin=Origin.RUN
        )
        made = [one for one in kept if one.run_id == record.run_id][:MOST_FILES]
        for one in made[said.uploaded :]:
            try:
                await self._upload(writing, one)
            except Refused as refused:
                _log.warning("run %s: %s is not uploaded: %s", record.run_id, one.name, refused)
            said.uploaded += 1
            await writing.save()

    async def _upload(self, writing: Writing, file: Kept) -> None:
        found = await self._context.files.get(file.artifact_id, tenant=writing.said.tenant)
        if found is None or not found[1]:
            return
        name = file.name.replace("\\", "/").rsplit("/", 1)[-1]
        web, place = self._context.web, writing.said.place
        told = await web.get("files.getUploadURLExternal", filename=name, length=str(len(found[1])))
        await _put(str(told["upload_url"]), found[1])
        await web.call(
            "files.completeUploadExternal",
            files=[{"id": told["file_id"], "title": name}],
            channel_id=place.channel,
            thread_ts=place.thread_ts,
        )


async def _put(url: str, content: bytes) -> None:
    """The content, to where Slack said; the token is not shown there."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=CALL_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(
                url,
                data=content,
                headers={"Content-Type": "application/octet-stream"},
                allow_redirects=False,
            ) as reply,
        ):
            if reply.status >= 500 or reply.status == 429:
                raise Unreachable(f"upload: answered {reply.status}")
            if reply.status != 200:
                raise Refused(f"upload to {urlsplit(url).hostname}", str(reply.status))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unreachable(f"upload: {type(error).__name__}") from None
