"""What is wrong with a setting, in words for people."""

from __future__ import annotations

from pydantic import ValidationError


def explained(error: ValidationError) -> str:
    """A line for each key at fault; no value is shown."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: no such setting; docs/configuration.md lists them all")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {message}" if key else message)
    return "\n".join(lines)
