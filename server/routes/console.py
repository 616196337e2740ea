"""The console's pages and files. They hold no data: what they show they ask of the public API."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, FastAPI
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server import console

PATH = "/console"
FILES = f"{PATH}/static"

# Only files of ours may run; text becomes markup nowhere but in lit-html's own templates. Images of
# runs need a key, so the page fetches them and shows what it has (`blob:`).
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # A server that was renewed is never shown with old files; unchanged ones cost a 304.
    "Cache-Control": "no-cache",
}
# What a machine's own tables may not know or have otherwise.
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def landing() -> Response:
    """Where everything for operators begins."""
    return _page("index.html")


@router.get(f"{PATH}/")
async def landing_with_a_slash() -> Response:
    """The same; relative, so that it holds below a proxy's path as well."""
    return RedirectResponse("../console", headers=_HEADERS)


@router.get(f"{PATH}/approvals")
async def approvals() -> Response:
    """The queue of what waits for a person."""
    return _page("approvals.html")


@router.get(f"{PATH}/traces")
async def traces() -> Response:
    """A run's waterfall; the part of the address behind # says which run's."""
    return _page("traces.html")


@router.get(f"{PATH}/traces/{{run_id}}")
async def trace(run_id: UUID) -> Response:
    """The same for one run; relative, so that it holds below a proxy's path as well."""
    return RedirectResponse(f"../traces#{run_id}", headers=_HEADERS)


def install(app: FastAPI) -> None:
    """Serve the pages and the files that they refer to."""
    app.router.routes.extend(router.routes)
    app.mount(FILES, Files(directory=folder()), name="console")


def folder() -> Path:
    """Where the files are."""
    return Path(str(resources.files(console))) / "static"


class Files(StaticFiles):
    """Our files, each as what it is, with the headers of the pages."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        kind = _TYPES.get(Path(full_path).suffix)
        if kind is not None and answer.status_code == status_code:
            answer.headers["Content-Type"] = f"{kind}; charset=utf-8"
        answer.headers.update(_HEADERS)
        return answer


def _page(name: str) -> Response:
    return FileResponse(folder() / name, media_type="text/html", headers=_HEADERS)
