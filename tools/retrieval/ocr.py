"""Text out of pictures of text, through the Tesseract program where it is installed."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.retrieval.errors import NeedsOcr

LANGUAGES = r"^[A-Za-z]{3}(_[A-Za-z]+)*(\+[A-Za-z]{3}(_[A-Za-z]+)*)*$"
# Grey pixels a page: A4 at 300 dots an inch are 8.7 million.
MAX_PIXELS = 25_000_000
DOTS_PER_INCH = 300
_WORD = re.compile(r"[^\W_]{2,}")
# With less time than this a page is not begun.
_LEAST_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Ocr:
    """How scans are read. ``languages`` are Tesseract's names, such as ``eng+deu``."""

    program: str
    languages: str = "eng"
    page_seconds: float = 60.0
    seconds: float = 600.0


class Recognizer:
    """Reads one document's pictures within its time. ``more_time`` is told before each page how
    many seconds it may take, so that who waits for the document can wait longer.
    """

    def __init__(self, ocr: Ocr, *, more_time: Callable[[float], None] = lambda _: None) -> None:
        self._ocr = ocr
        self._more_time = more_time
        self._left = ocr.seconds

    def text(self, pixels: bytes, *, width: int, height: int, name: str) -> str | None:
        """The text of a grey picture, one byte a pixel; empty where there is none; None where
        the time was up or Tesseract failed.

        Raises NeedsOcr if Tesseract cannot be run at all or lacks the language.
        """
        seconds = min(self._ocr.page_seconds, self._left)
        if seconds < _LEAST_SECONDS:
            return None
        if not pixels or min(pixels) == max(pixels):
            return ""
        self._more_time(seconds)
        began = time.monotonic()
        try:
            return self._run(b"P5 %d %d 255\n" % (width, height) + pixels, seconds, name=name)
        finally:
            self._left -= time.monotonic() - began

    def _run(self, picture: bytes, seconds: float, *, name: str) -> str | None:
        # Mode 1 finds out how the page is turned; through pipes, since files may not be written.
        command = [self._ocr.program, "-", "-", "-l", self._ocr.languages, "--psm", "1"]
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's program, no shell
                [*command, "--dpi", str(DOTS_PER_INCH)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Its threads are slower than one on a machine that does other work too.
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_THREAD_LIMIT": "1"},
            )
        except OSError as error:
            raise NeedsOcr(
                f"{name}: holds only images, and {self._ocr.program} does not start"
                f" ({type(error).__name__}); install the package tesseract-ocr"
            ) from error
        with process:
            # Whoever kills us, it does not go on for long.
            cpu = int(seconds) + 1
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (cpu, cpu))
            try:
                out, complaint = process.communicate(picture, timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
        if b"Failed loading language" in complaint or b"couldn't load any languages" in complaint:
            raise NeedsOcr(
                f"{name}: holds only images, and Tesseract has not the language"
                f" {self._ocr.languages}; install its package (such as tesseract-ocr-deu)"
                " or change ocr_languages"
            )
        if process.returncode != 0:
            return None
        return _worth(out.decode("utf-8", errors="replace"))


def _worth(text: str) -> str:
    """The text, or nothing where a picture of no text was read as signs and single letters."""
    words = sum(map(len, _WORD.findall(text)))
    return text.strip() if words * 2 > len("".join(text.split())) else ""
