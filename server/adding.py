"""Documents on their way in: as they may be given, and what became of each."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile

from server import body, fetched, patience
from server.errors import Invalid
from server.serving import Serving
from server.source_names import CONTROL, LONGEST_NAME, file_name
from server.wire.chat import COLLECTION
from server.wire.json_fields import checked
from server.wire.messages import storable
from tools.retrieval.errors import ParseError, TooLarge
from tools.retrieval.knowledge import Ingested
from tools.web import addresses
from tools.web.addresses import AddressError
from tools.web.fetching import Fetcher

MAX_FILES = 1_000
DEEPEST = 8
AT_ONCE = 4
FOLDER = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1024}$"


def _printable(value: str | None) -> str | None:
    if value is not None and (CONTROL.search(value) or not value.strip()):
        raise ValueError("holds no printable text, or control characters; take them out")
    return value


def _json(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return (
        None
        if value is None
        else {name: checked(one, deepest=DEEPEST) for name, one in value.items()}
    )


JsonFields = Annotated[dict[str, Any], AfterValidator(_json)]
Printable = Annotated[str, AfterValidator(_printable)]


class About(BaseModel):
    """What may be said of a document beside its content."""

    model_config = ConfigDict(extra="ignore")

    id: Printable | None = Field(default=None, max_length=512)
    title: Printable | None = Field(default=None, max_length=LONGEST_NAME)
    metadata: JsonFields | None = None


class GivenDocument(About):
    """A document given as text, Markdown or plain, or as the URL of a page that is fetched."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["url"]}]}
    )

    source: Printable | None = Field(default=None, max_length=LONGEST_NAME)
    text: str = ""
    url: str = Field(default="", max_length=LONGEST_NAME)

    @model_validator(mode="after")
    def _one_of_two(self) -> GivenDocument:
        if len({"text", "url"} & self.model_fields_set) != 1:
            raise ValueError("give either text or url")
        return self

    @property
    def is_page(self) -> bool:
        """Whether it is to be fetched."""
        return "url" in self.model_fields_set

    @property
    def name(self) -> str:
        """What it is shown as, and without an id known by: the same name replaces itself."""
        digest = hashlib.sha256(self.text.encode("utf-8", errors="replace")).hexdigest()
        return self.source or self.title or self.id or f"text {digest[:12]}"


async def files(request: Request, house: Serving, *, tenant: str) -> dict[str, Any]:
    """What became of the files of a form. Raises Invalid."""
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
    folder = form.get("folder")
    if folder is not None and not (isinstance(folder, str) and re.fullmatch(FOLDER, folder)):
        raise Invalid("folder: printable characters, 1,024 at most", param="folder")
    about = _about(form, alone=len(files) == 1)
    names = [file_name(file.filename) or f"file {number}" for number, file in enumerate(files, 1)]
    work = []
    for name, file in zip(names, files, strict=True):
        ingest = _ingest_file(
            file,
            house,
            name=name,
            tenant=tenant,
            collection=collection,
            folder=folder,
            about=about,
        )
        work.append(_result(ingest, house, name=name, size=file.size or 0))
    return {"collection": collection, "results": await together(work, names=names)}


async def together(
    work: Sequence[Coroutine[Any, Any, dict[str, Any]]], *, names: Sequence[str]
) -> list[dict[str, Any]]:
    """The results in order, of some documents at a time: one is read while another is embedded."""
    # What replaces what stands before it comes after it.
    free = asyncio.Semaphore(AT_ONCE if len(set(names)) == len(names) else 1)

    async def one(ingest: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        async with free:
            return await ingest

    # Unlike a group of tasks, a failure leaves nothing that was never awaited.
    tasks = [asyncio.ensure_future(one(ingest)) for ingest in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await patience.over(*tasks)
        for ingest in work:
            ingest.close()


async def given(
    document: GivenDocument,
    house: Serving,
    *,
    tenant: str,
    collection: str,
    fetcher: Fetcher | None,
) -> dict[str, Any]:
    """What became of a text, or of a page."""
    about: dict[str, Any] = {
        "tenant": tenant,
        "collection": collection,
        "document_id": document.id,
        "title": document.title,
        "metadata": document.metadata,
    }
    if fetcher is None or not document.is_page:
        size = len(document.text.encode("utf-8", errors="replace"))
        ingest = house.knowledge.ingest_text(document.text, name=document.name, **about)
        return await _result(ingest, house, name=document.name, size=size)
    try:
        name = addresses.parse(document.url).url
        data = await fetched.data(name, fetcher=fetcher)
    except AddressError as error:
        shown = CONTROL.sub("", storable(document.url))[:200]
        return _failed(shown, f"{shown}: {error}", kind="AddressError")
    except fetched.Unreadable as error:
        return _failed(name, f"{name}: {error}", kind=type(error).__name__)
    ingest = house.knowledge.ingest(data, name=document.source or name, **about)
    return await _result(ingest, house, name=name, size=len(data))


async def _ingest_file(
    file: UploadFile,
    house: Serving,
    *,
    name: str,
    tenant: str,
    collection: str,
    folder: str | None,
    about: About,
) -> Ingested:
    data = await file.read()
    return await house.knowledge.ingest(
        data,
        name=name,
        tenant=tenant,
        collection=collection,
        folder=folder,
        document_id=about.id,
        title=about.title,
        metadata=about.metadata,
    )


def _about(form: FormData, *, alone: bool) -> About:
    """What a form says of its files. Raises Invalid."""
    given = {name: value for name in About.model_fields if (value := form.get(name)) is not None}
    if "metadata" in given:
        try:
            given["metadata"] = orjson.loads(str(given["metadata"]))
        except orjson.JSONDecodeError:
            raise Invalid("metadata: is no JSON; give an object", param="metadata") from None
    for name in ("id", "title"):
        if name in given and not alone:
            raise Invalid(f"{name}: belongs to one file; send the others apart", param=name)
    try:
        return About.model_validate(given)
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(told) from None


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
    return told_of(done, name=name)


def told_of(done: Ingested, *, name: str) -> dict[str, Any]:
    """What became of a document, as it is told."""
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
