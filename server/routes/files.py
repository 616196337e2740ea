"""A thread's files: what its user gave, and what its runs made."""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from server import body
from server.artifacts.store import Origin
from server.attaching import Attachment, attach
from server.auth import CallerDep
from server.errors import Invalid, NotFound
from server.serving import House
from server.wire import files, shapes
from server.wire.messages import storable

MOST = 50
"""Most files of one request."""

_PATH = re.compile(r"/threads/[^/]+/files/?")

router = APIRouter(prefix="/threads/{thread_id}/files", tags=["files"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            body.FILES: {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                    },
                }
            }
        },
    }
}


@router.get("", responses=shapes.told(answer=files.Files))
async def listing(
    thread_id: UUID,
    house: House,
    caller: CallerDep,
    origin: Annotated[Origin | None, Query()] = None,
) -> dict[str, Any]:
    """A thread's files, the oldest first; `origin` leaves out the others."""
    await house.threads.get(str(thread_id), tenant=caller.tenant)
    found = await house.files.of_thread(str(thread_id), tenant=caller.tenant, origin=origin)
    return {"items": [files.shown(one) for one in found]}


@router.post(
    "",
    response_model=None,
    responses=shapes.told(answer=files.Files),
    openapi_extra=_BODY,
)
async def upload(thread_id: UUID, request: Request, house: House, caller: CallerDep) -> Response:
    """Give a thread files, which lie in the coder's work folder from then on; all, or none.

    A name that another content has gets a number, as `data-2.csv`; the same again is the same.
    """
    await house.threads.get(str(thread_id), tenant=caller.tenant)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != body.FILES:
        raise Invalid(f"files: send them as {body.FILES}, each in a part named `files`")
    try:
        async with request.form(max_files=MOST, max_fields=10) as form:
            given = await _given(form)
    except FormParserError as error:
        raise Invalid(f"the body is no valid {body.FILES} ({error})") from None
    done = await attach(house.files, given, tenant=caller.tenant, thread_id=str(thread_id))
    return JSONResponse({"items": [files.shown(one) for one in done.kept]})


@router.delete("/{artifact_id}", response_model=None, status_code=204)
async def delete(thread_id: UUID, artifact_id: str, house: House, caller: CallerDep) -> Response:
    """Drop a file. A copy that lies in the coder's work folder stays there."""
    found = await house.files.of_thread(str(thread_id), tenant=caller.tenant)
    there = any(one.artifact_id == artifact_id for one in found)
    if not there or not await house.files.remove(artifact_id, tenant=caller.tenant):
        raise NotFound("there is no such file on this thread; GET its files lists them")
    return Response(status_code=204)


def takes(path: str) -> bool:
    """Whether files are sent to this path."""
    return _PATH.fullmatch(path) is not None


async def _given(form: FormData) -> list[Attachment]:
    parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not parts:
        raise Invalid("files: no file is in the request; send at least one", param="files")
    return [
        Attachment(
            name=storable(part.filename or "file"),
            media_type=part.content_type or "",
            content=await part.read(),
            field="files",
        )
        for part in parts
    ]
