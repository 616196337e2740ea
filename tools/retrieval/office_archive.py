"""What every Office file is inside, a zip of XML: opened within limits, its switches read."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tools.retrieval.errors import DamagedDocument, TooLarge

_MAX_RATIO = 200
_MAX_ENTRIES = 20_000
_STEP = 1 << 20
_DTD = (b"<!doctype", b"<!entity")


def guard(data: bytes, *, name: str, max_unpacked: int) -> None:
    """Unpacks every entry once, keeping nothing.

    Raises TooLarge for an archive of too many entries or that unpacks to over ``max_unpacked``
    bytes or to 200 times its size, DamagedDocument for one that is broken or whose XML declares
    entities, which Office files must not (ECMA-376, part 2).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise TooLarge(
                    f"{name}: {len(entries)} files inside, the limit is {_MAX_ENTRIES}; split it"
                )
            _unpack(archive, entries, name=name, size=len(data), max_unpacked=max_unpacked)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError):
        raise DamagedDocument(
            f"{name}: the archive inside is broken; get a good copy and ingest it"
        ) from None


def is_on(switch: Any, value: str) -> bool:
    """Whether an element that switches something on is there and does, by its attribute ``value``:
    none is on, as ``1`` and ``true`` are."""
    return switch is not None and switch.get(value, "1") not in ("0", "false", "off")


def _unpack(
    archive: zipfile.ZipFile,
    entries: list[zipfile.ZipInfo],
    *,
    name: str,
    size: int,
    max_unpacked: int,
) -> None:
    unpacked = 0
    for entry in entries:
        xml = entry.filename.lower().endswith((".xml", ".rels", ".vml"))
        end = b""
        # Counted by unpacking: the size that an archive declares can lie.
        with archive.open(entry) as stream:
            while part := stream.read(_STEP):
                unpacked += len(part)
                if unpacked > max_unpacked or (
                    unpacked > 10_000_000 and unpacked > _MAX_RATIO * size
                ):
                    raise TooLarge(
                        f"{name}: unpacks to over {unpacked // 1_000_000} MB from"
                        f" {size / 1_000_000:.1f} MB; split it or save it as PDF"
                    )
                if xml and any(mark in _plain(end + part) for mark in _DTD):
                    raise DamagedDocument(
                        f"{name}: its XML declares a document type, which no Office program"
                        " writes; get a good copy and ingest it"
                    )
                end = part[-32:]


def _plain(part: bytes) -> bytes:
    return part.replace(b"\0", b"").lower()
