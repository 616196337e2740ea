"""What a document is called: the label that its source is shown under."""

from __future__ import annotations

import contextlib
import re
from pathlib import PurePosixPath

from tools.web import addresses
from tools.web.addresses import AddressError

LONGEST_NAME = 1_024
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def file_name(given: str | None) -> str:
    """A file's name, perhaps with a relative path, or a page's URL: printable, of bounded length.

    It is a label: no file is ever opened by it, and no page fetched.
    """
    if (given or "").lower().startswith(("http://", "https://")):
        with contextlib.suppress(AddressError):
            url = addresses.parse(given or "").url
            if len(url) <= LONGEST_NAME and ".." not in url.split("/"):
                return url
    printable = (given or "").encode("utf-8", errors="replace").decode("utf-8")
    # How forms write a quotation mark.
    name = CONTROL.sub("", printable).replace("\\", "/").replace("%22", '"').strip()
    parts = [part for part in PurePosixPath(name).parts if part not in {"/", "..", "."}]
    return "/".join(parts)[-LONGEST_NAME:]
