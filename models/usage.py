"""What an attempt at a provider used and how it ended, out of what it wrote. Pure."""

from __future__ import annotations

from models import tokens
from models.attempts import Ending, TokenUsage
from models.errors import ModelError, ModelTimeout, StreamCut
from models.pieces import Written


def usage_of(written: Written, *, expected: int, failure: BaseException | None) -> TokenUsage:
    """What an attempt used: as the provider says, else counted here and never zero."""
    counted = tokens.count_text(written.everything)
    if (said := written.usage) and said.input_tokens > 0:
        return TokenUsage(
            input_tokens=said.input_tokens,
            output_tokens=said.output_tokens if said.output_tokens > 0 else counted,
            cached_tokens=said.cached_tokens,
            estimated=said.output_tokens <= 0 < counted,
        )
    refused = isinstance(failure, ModelError) and not isinstance(failure, ModelTimeout | StreamCut)
    if refused and not written.begun:
        return TokenUsage()
    floor = 1 if failure is None else 0
    return TokenUsage(input_tokens=expected, output_tokens=max(floor, counted), estimated=True)


def ending_of(written: Written, failure: BaseException | None, *, started: float) -> Ending:
    """How it ended; ``started`` by the monotonic clock, in seconds."""
    first = None if written.first_at is None else written.first_at - started
    if failure is not None:
        return Ending(error=type(failure).__name__, first=first)
    return Ending(finish=written.finish or "", first=first)
