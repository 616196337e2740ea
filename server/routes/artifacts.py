"""One file of a thread, as it is: a figure, a table, what code wrote, what a user gave."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from server.artifacts import links
from server.auth import caller_of
from server.errors import NotFound, Unauthorized
from server.serving import House, Serving
from server.wire import files, shapes

router = APIRouter(tags=["files"])

_CONTENT: shapes.Told = {
    200: {
        "description": "The content, as what it is said to be; HTML and SVG in a sandbox",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "`If-None-Match` has it already"},
}


@router.get(
    files.PATH + "/{artifact_id}",
    response_model=None,
    response_class=Response,
    responses={**shapes.told(404), **_CONTENT},
)
async def content(
    artifact_id: str,
    house: House,
    request: Request,
    if_none_match: Annotated[str | None, Header()] = None,
    *,
    download: bool = False,
) -> Response:
    """A file's content; `download=true` has a browser save it in any case.

    A signed link, as answers have it where keys are needed, fetches its file without one.
    """
    tenant = await _tenant(request, house, artifact_id)
    found = await house.files.get(artifact_id, tenant=tenant)
    if found is None:
        raise NotFound("there is no such file; it goes with its thread")
    kept, body = found
    headers = files.headers(kept, download=download)
    if files.unchanged(kept, if_none_match):
        return Response(status_code=304, headers={"ETag": headers["ETag"]})
    return Response(body, headers=headers)


async def _tenant(request: Request, house: Serving, artifact_id: str) -> str:
    if not links.is_signed(request.scope):
        return caller_of(request).tenant
    tenant = await house.file_links.tenant(artifact_id, request.query_params)
    if tenant is None:
        raise Unauthorized(
            "the link's time is over, or it was not made here; ask the server for the file with "
            "a key"
        )
    return tenant
