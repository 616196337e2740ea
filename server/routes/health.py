"""Whether the server is there, and what it is."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

router = APIRouter(tags=["server"])


# Probes that want no body, such as `wget --spider`, ask so.
@router.head("/ok", include_in_schema=False)
@router.get("/ok")
async def ok() -> dict[str, bool]:
    """Answers while the server listens; needs no key."""
    return {"ok": True}


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def root(request: Request) -> Response:
    """The same for clients and probes; a browser is led to the console.

    The way there is relative, so that it holds below a proxy's path as well.
    """
    headers = {"Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("console", headers=headers)
    return JSONResponse(await ok(), headers=headers)


@router.get("/info")
async def info() -> dict[str, Any]:
    """Versions, and which parts of LangGraph's wire are served."""
    return {
        "version": version("counterpoint"),
        "langgraph_py_version": version("langgraph"),
        "flags": {"assistants": True, "crons": True, "langsmith": False},
        "host": {
            "kind": "self-hosted",
            "project_id": None,
            "revision_id": None,
            "tenant_id": None,
        },
    }


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
