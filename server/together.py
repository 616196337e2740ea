"""Several things at the same time, all of them or none."""

from __future__ import annotations

import asyncio
from typing import Any


async def together(*work: Any) -> Any:
    """The results of what goes on at the same time; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
