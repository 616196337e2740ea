"""Files out of Slack: with the bot's token, which is shown to Slack's own hosts and nobody else."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import aiohttp

from server.slack.reading import SharedFile
from server.slack.web import CALL_SECONDS, Unreachable
from server.slack_section import SLACK_API

_HOST = "slack.com"
_SECONDS = 120
_MOST_REDIRECTS = 3


class FileNotTakenError(Exception):
    """A file that stays in Slack; the message is for people and names it."""


class Downloads:
    """``api_url`` is where Slack's Web API is: behind a proxy its files are there too."""

    def __init__(self, *, token: str, api_url: str, max_bytes: int) -> None:
        self._token = token
        self._max = max_bytes
        self._own = urlsplit(api_url) if api_url != SLACK_API else None

    async def get(self, file: SharedFile) -> bytes:
        """The file's content. Raises FileNotTakenError, and Unreachable where it may come yet."""
        if file.size > self._max:
            raise self._too_large(file)
        timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=CALL_SECONDS)
        url = file.url
        try:
            async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
                for _ in range(_MOST_REDIRECTS):
                    # Each step anew: a redirect must not carry the token elsewhere.
                    if not self.is_slacks(url):
                        raise FileNotTakenError(f"{file.name}: it does not lie in Slack")
                    async with session.get(
                        url,
                        headers={"Authorization": f"Bearer {self._token}"},
                        allow_redirects=False,
                    ) as reply:
                        if reply.status in {301, 302, 303, 307, 308}:
                            url = urljoin(url, reply.headers.get("Location", ""))
                            continue
                        return await self._content(file, reply)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"file {file.file_id}: {type(error).__name__}") from None
        raise FileNotTakenError(f"{file.name}: Slack leads nowhere")

    def is_slacks(self, url: str) -> bool:
        """Whether the token may be shown there."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if self._own is not None and (parts.scheme, host, port) == (
            self._own.scheme,
            self._own.hostname,
            self._own.port,
        ):
            return True
        is_its = host == _HOST or host.endswith("." + _HOST)
        return parts.scheme == "https" and port in {None, 443} and is_its and not parts.username

    async def _content(self, file: SharedFile, reply: aiohttp.ClientResponse) -> bytes:
        if reply.status == 429 or reply.status >= 500:
            raise Unreachable(f"file {file.file_id}: answered {reply.status}")
        if reply.status != 200:
            raise FileNotTakenError(f"{file.name}: Slack does not give it ({reply.status})")
        if reply.content_type == "text/html" and "html" not in file.media_type:
            # Slack shows its sign-in page where the app may not read files.
            raise FileNotTakenError(
                f"{file.name}: Slack does not give it; the app needs the scope files:read"
            )
        content = bytearray()
        async for piece in reply.content.iter_chunked(1 << 16):
            content += piece
            if len(content) > self._max:
                raise self._too_large(file)
        return bytes(content)

    def _too_large(self, file: SharedFile) -> FileNotTakenError:
        return FileNotTakenError(f"{file.name}: it is larger than {self._max:,} bytes")
