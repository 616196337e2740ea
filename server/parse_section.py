"""What a document may take to be read, as settings."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from tools.retrieval.ocr import LANGUAGES, Ocr

if TYPE_CHECKING:
    from tools.retrieval.parse import Limits


class ParseSettings(BaseModel):
    """The reading of documents among the settings."""

    max_document_pages: int = Field(
        default=5_000, ge=1, description="Most pages or slides of a document"
    )
    max_document_cells: int = Field(
        default=2_000_000, ge=1, description="Most cells of a workbook or a CSV file"
    )
    max_document_unpacked: int = Field(
        default=200_000_000, ge=1, description="Most bytes that an Office file may unpack to"
    )
    document_seconds: float = Field(
        default=60.0, gt=0, description="Seconds to read a document in, scanned pages apart"
    )
    document_memory: int = Field(
        default=2_000_000_000,
        ge=500_000_000,
        description="Most memory that reading a document may take, bytes",
    )
    ocr: Literal["auto", "off"] = Field(
        default="auto",
        description="Whether scanned pages are read, where the program `tesseract` is installed",
    )
    ocr_languages: str = Field(
        default="eng",
        pattern=LANGUAGES,
        description="Languages of scanned pages, by Tesseract's names, such as `eng+deu`",
    )
    ocr_page_seconds: float = Field(
        default=60.0, ge=1, description="Seconds for one scanned page; then it counts as textless"
    )
    ocr_seconds: float = Field(
        default=600.0, ge=1, description="Seconds for all scanned pages of a document"
    )

    def parse_limits(self, *, max_bytes: int) -> Limits:
        """What one document may take."""
        # Late: what guesses encodings, which reading the settings does not need.
        from tools.retrieval.parse import Limits

        return Limits(
            max_bytes=max_bytes,
            max_unpacked=self.max_document_unpacked,
            max_pages=self.max_document_pages,
            max_cells=self.max_document_cells,
            max_memory=self.document_memory,
            seconds=self.document_seconds,
        )

    def scans(self) -> Ocr | None:
        """How scanned pages are read; None where they are not."""
        program = shutil.which("tesseract") if self.ocr == "auto" else None
        if program is None:
            return None
        return Ocr(
            program=program,
            languages=self.ocr_languages,
            page_seconds=self.ocr_page_seconds,
            seconds=self.ocr_seconds,
        )
