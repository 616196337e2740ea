"""Folders and files among the settings: absolute, and never the current folder by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator


def _named(value: Any) -> Any:
    # A variable of a script that was not set: as a path it would be the current folder.
    if value == "":
        raise ValueError("names nothing; give it a path, or leave it out")
    return value


def _absolute(value: Path) -> Path:
    try:
        return value.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{value} starts in a home folder that does not exist") from None


AbsolutePath = Annotated[Path, BeforeValidator(_named), AfterValidator(_absolute)]
