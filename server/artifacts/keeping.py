"""The files of threads as tools see them: what a run makes is kept, what a user gave is read."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisError

from server.artifacts.store import Origin, ThreadFiles
from tools.artifacts import Artifact, ArtifactError
from tools.tool import ToolContext
from tools.uploads import Upload


class RunArtifacts:
    """What runs make, kept among their threads' files; see ``tools.artifacts.Artifacts``."""

    def __init__(self, files: ThreadFiles) -> None:
        self._files = files

    async def keep(
        self, content: bytes, *, name: str, media_type: str, context: ToolContext
    ) -> Artifact:
        try:
            kept = await self._files.put(
                content,
                name=name,
                media_type=media_type,
                tenant=context.tenant,
                thread_id=context.thread_id or context.run_id,
                run_id=context.run_id,
                origin=Origin.RUN,
            )
        except RedisError as error:
            raise ArtifactError("the store of files does not answer") from error
        return Artifact(
            id=kept.artifact_id,
            name=kept.name,
            media_type=kept.media_type,
            sha256=kept.sha256,
            bytes=kept.bytes,
        )


class KeptUploads:
    """What users gave, out of their threads' files; see ``tools.uploads.Uploads``."""

    def __init__(self, files: ThreadFiles) -> None:
        self._files = files

    async def of_thread(self, thread_id: str, *, tenant: str) -> Sequence[Upload]:
        given = await self._files.of_thread(thread_id, tenant=tenant, origin=Origin.UPLOAD)
        return [Upload(id=one.artifact_id, name=one.name, bytes=one.bytes) for one in given]

    async def read(self, upload_id: str, *, tenant: str) -> bytes | None:
        found = await self._files.get(upload_id, tenant=tenant)
        return None if found is None else found[1]
