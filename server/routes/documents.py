"""Documents: add, list, delete. A document that cannot be read does not stop the others."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Coroutine
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from server import body
from server.auth import CallerDep
from server.errors import Invalid, NotFound
from server.serving import House, Serving
from server.wire.chat import COLLECTION
from server.wire.messages import storable
from tools.retrieval.documents import DocumentVersion
from tools.retrieval.errors import ParseError, TooLarge
from tools.retrieval.knowledge import Ingested
from tools.web import addresses
from tools.web.addresses import AddressError

PATH = "/documents"
MAX_FILES = 1_000
LONGEST_NAME = 1_024
DEEPEST = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

router = APIRouter(tags=["documents"])

Collection = Annotated[str | None, Query(pattern=COLLECTION)]


def _checked(value: Any, *, depth: int = 0) -> Any:
    """JSON that every store can keep. Raises ValueError."""
    if depth > DEEPEST:
        raise ValueError(f"is nested deeper than {DEEPEST} levels; make it flatter")
    match value:
        case bool() | None | str():
            return value
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError("holds a number beyond 64 bits; give it as text")
        case float() if not math.isfinite(value):
            raise ValueError("holds a number that JSON does not know; leave it out")
        case list():
            return [_checked(one, depth=depth + 1) for one in value]
        case dict():
            return {name: _checked(one, depth=depth + 1) for name, one in value.items()}
    return value


def _printable(value: str | None) -> str | None:
    if value is not None and (_CONTROL.search(value) or not value.strip()):
        raise ValueError("holds no printable text, or control characters; take them out")
    return value


def _json(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {name: _checked(one) for name, one in value.items()}


JsonFields = Annotated[dict[str, Any], AfterValidator(_json)]
Printable = Annotated[str, AfterValidator(_printable)]


class TextDocument(BaseModel):
    """A document given as text, Markdown or plain."""

    model_config = ConfigDict(extra="ignore")

    id: Printable | None = Field(default=None, max_length=512)
    title: Printable | None = Field(default=None, max_length=LONGEST_NAME)
    source: Printable | None = Field(default=None, max_length=LONGEST_NAME)
    text: str
    metadata: JsonFields | None = None

    @property
    def name(self) -> str:
        """What it is shown as, and without an id known by: the same name replaces itself."""
        digest = hashlib.sha256(self.text.encode("utf-8", errors="replace")).hexdigest()
        return self.source or self.title or self.id or f"text {digest[:12]}"


class AddRequest(BaseModel):
    """Documents to make searchable."""

    model_config = ConfigDict(extra="ignore")

    collection: str | None = Field(default=None, pattern=COLLECTION)
    documents: list[TextDocument] = Field(min_length=1, max_length=MAX_FILES)


_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            body.JSON: {"schema": {"$ref": "#/components/schemas/AddRequest"}},
            body.FILES: {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "collection": {"type": "string", "pattern": COLLECTION},
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                    },
                }
            },
        },
    }
}


@router.post(PATH, openapi_extra=_BODIES)
async def add(request: Request, house: House, caller: CallerDep) -> dict[str, Any]:
    """Make documents searchable: texts as JSON, or files. The same again is `unchanged`."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == body.FILES:
        return await _add_files(request, house, tenant=caller.tenant)
    try:
        asked = AddRequest.model_validate_json(await request.body())
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(told) from None
    collection = asked.collection or house.settings.collection
    results = []
    for document in asked.documents:
        size = len(document.text.encode("utf-8", errors="replace"))
        ingest = house.knowledge.ingest_text(
            document.text,
            name=document.name,
            tenant=caller.tenant,
            collection=collection,
            document_id=document.id,
            title=document.title,
            metadata=document.metadata,
        )
        results.append(await _result(ingest, house, name=document.name, size=size))
    return {"collection": collection, "results": results}


@router.get(PATH)
async def documents(
    house: House,
    caller: CallerDep,
    collection: Collection = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """The documents of a collection."""
    collection = collection or house.settings.collection
    items, total = [], 0
    async for version in house.knowledge.documents(tenant=caller.tenant, collection=collection):
        if offset <= total < offset + limit:
            items.append(_described(version))
        total += 1
    return {"collection": collection, "items": items, "total": total}


@router.delete(PATH + "/{document_id:path}", status_code=204)
async def delete(
    document_id: str, house: House, caller: CallerDep, collection: Collection = None
) -> Response:
    """Forget a document."""
    collection = collection or house.settings.collection
    found = await house.knowledge.delete(
        storable(document_id), tenant=caller.tenant, collection=collection
    )
    if not found:
        raise NotFound(
            f"no document {storable(document_id)[:100]!r} in collection {collection}; "
            "GET /documents lists them"
        )
    return Response(status_code=204)


async def _add_files(request: Request, house: Serving, *, tenant: str) -> dict[str, Any]:
    try:
        async with request.form(max_files=MAX_FILES, max_fields=100) as form:
            return await _add_form(form, house, tenant=tenant)
    except FormParserError as error:
        raise Invalid(f"the body is no valid {body.FILES} ({error})") from None


async def _add_form(form: FormData, house: Serving, *, tenant: str) -> dict[str, Any]:
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise Invalid("files: no file is in the request; send at least one", param="files")
    collection = form.get("collection") or house.settings.collection
    if not isinstance(collection, str) or not re.fullmatch(COLLECTION, collection):
        raise Invalid(
            "collection: letters, digits, dots, dashes and underscores, 64 at most",
            param="collection",
        )
    results = []
    for number, file in enumerate(files, 1):
        name = file_name(file.filename) or f"file {number}"
        ingest = _ingest_file(file, house, name=name, tenant=tenant, collection=collection)
        results.append(await _result(ingest, house, name=name, size=file.size or 0))
    return {"collection": collection, "results": results}


async def _ingest_file(
    file: UploadFile, house: Serving, *, name: str, tenant: str, collection: str
) -> Ingested:
    data = await file.read()
    return await house.knowledge.ingest(data, name=name, tenant=tenant, collection=collection)


async def _result(
    ingest: Coroutine[Any, Any, Ingested], house: Serving, *, name: str, size: int
) -> dict[str, Any]:
    """What became of one document."""
    most = house.settings.max_document_bytes
    if size > most:
        ingest.close()
        return _failed(
            name,
            f"{name}: larger than {most:,} bytes; split it, or raise "
            "COUNTERPOINT_MAX_DOCUMENT_BYTES",
            kind=TooLarge.__name__,
        )
    try:
        done = await ingest
    except ParseError as error:
        return _failed(name, str(error), kind=type(error).__name__)
    return {
        "name": name,
        "document_id": done.document_id,
        "title": done.title,
        "status": done.status.value,
        "chunks": done.chunks,
        "pages": done.pages,
        "pages_without_text": list(done.pages_without_text),
    }


def _failed(name: str, error: str, *, kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "document_id": None,
        "status": "failed",
        "chunks": 0,
        "pages": None,
        "error": storable(error),
        "error_kind": kind,
    }


def _described(version: DocumentVersion) -> dict[str, Any]:
    return {
        "document_id": version.document_id,
        "title": version.title,
        "source": version.source,
        "sha256": version.sha256,
        "media_type": version.media_type,
        "pages": version.pages,
        "chunks": version.chunks,
        "ingested_at": version.ingested_at,
        "metadata": dict(version.metadata),
    }


def file_name(given: str | None) -> str:
    """A file's name, perhaps with a relative path, or a page's URL: printable, of bounded length.

    It is a label: no file is ever opened by it, and no page fetched.
    """
    if (given or "").lower().startswith(("http://", "https://")):
        with contextlib.suppress(AddressError):
            url = addresses.parse(given or "").url
            if len(url) <= LONGEST_NAME and ".." not in url.split("/"):
                return url
    name = _CONTROL.sub("", storable(given or "")).replace("\\", "/").strip()
    parts = [part for part in PurePosixPath(name).parts if part not in {"/", "..", "."}]
    return "/".join(parts)[-LONGEST_NAME:]
