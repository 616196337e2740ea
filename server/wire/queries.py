"""Query parameters as clients spell lists: repeated, as JSON, with commas. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence


def names(given: Sequence[str] | None) -> list[str]:
    """``a=x&a=y``, ``a=["x","y"]`` and ``a=x,y`` are the same list. Raises ValueError."""
    found: list[str] = []
    for word in given or ():
        text = word.strip()
        if text.startswith(("[", '"')):
            try:
                read = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("is no list; repeat the parameter, or send a JSON array") from None
            many = read if isinstance(read, list) else [read]
            if not all(isinstance(one, str) for one in many):
                raise ValueError("holds what is no text; send names only")
            found += many
        else:
            found += [part.strip() for part in text.split(",") if part.strip()]
    return list(dict.fromkeys(found))
