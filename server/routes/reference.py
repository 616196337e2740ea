"""The page that shows every route: Swagger UI with its files from here, not from a CDN."""

from __future__ import annotations

from enum import StrEnum
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

from server.errors import NotFound

router = APIRouter(include_in_schema=False)

# The page's script is inline; beside that the browser may ask nobody but this server.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'"
)


class File(StrEnum):
    """The files that the page refers to."""

    SCRIPT = "swagger-ui-bundle.js"
    STYLE = "swagger-ui.css"
    ICON = "favicon.png"


@router.get("/docs")
async def page(request: Request) -> Response:
    """Every route with its fields, to read and to try out."""
    # Relative, so that it holds below a proxy's path as well.
    shown = get_swagger_ui_html(
        title=request.app.title,
        openapi_url="openapi.json",
        swagger_js_url=f"docs/{File.SCRIPT}",
        swagger_css_url=f"docs/{File.STYLE}",
        swagger_favicon_url=f"docs/{File.ICON}",
        # Else Swagger UI may ask a validator on the internet.
        swagger_ui_parameters={"validatorUrl": None},
    )
    shown.headers["Content-Security-Policy"] = _POLICY
    return shown


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """One of the page's files."""
    if name not in set(File):
        raise NotFound(f"nothing is served at /docs/{name[:100]}; /docs lists what is")
    with resources.as_file(resources.files("fastapi_offline") / "static" / name) as path:
        return FileResponse(path)
