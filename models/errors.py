"""What can go wrong with a chat model, told in one line with the remedy.

ModelError
├── ModelUnreachable     nobody listens at the URL                       (retried)
│   └── EndpointsOut     every endpoint of the model is being left alone
├── ModelTimeout         no complete reply within the time limit         (retried)
├── StreamCut            the connection ended before the reply did       (retried)
├── ModelFailed          the server answered 5xx                         (retried)
├── RateLimited          429: too much to do, or the quota is spent      (retried)
├── ModelsOut            neither the model nor any of its fallbacks answers
├── BadKey               401 or 403
├── ModelNotFound        404
├── ContextTooLong       the messages do not fit the context window
├── ModelRefused         any other 4xx, with the provider's short message
├── MalformedStep        neither a tool call nor an answer, after one repair
├── ToolsUnsupported     neither tool calls nor JSON schemas are honoured
├── UnknownPrice         no price known and none configured
└── UnknownModel         no such model or role in the registry

No message ever holds a key.
"""

# ruff: noqa: N818  (the names say what happened, all of them are ModelErrors)
from __future__ import annotations


class ModelError(Exception):
    """A failure of a chat model; ``model`` is its name in the registry.

    ``retry_after``: the seconds to wait before another try, where that is known. ``away``: nobody
    is there who could answer, as while a server is started again.
    """

    retryable = False
    away = False

    def __init__(self, message: str, *, model: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.retry_after = retry_after


class ModelUnreachable(ModelError):
    retryable = True
    away = True


class EndpointsOut(ModelUnreachable):
    retryable = False


class ModelsOut(ModelError):
    pass


class ModelTimeout(ModelError):
    retryable = True


class StreamCut(ModelError):
    retryable = True


class ModelFailed(ModelError):
    """5xx; of these 502 and 503 are said for a server that is away, and by one that loads."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        retry_after: float | None = None,
        away: bool = False,
    ) -> None:
        super().__init__(message, model=model, retry_after=retry_after)
        self.away = away


class RateLimited(ModelError):
    """429. ``exhausted`` means that the account's quota is spent, so waiting does not help."""

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        retry_after: float | None = None,
        exhausted: bool = False,
    ) -> None:
        super().__init__(message, model=model, retry_after=retry_after)
        self.retryable = not exhausted


class BadKey(ModelError):
    pass


class ModelNotFound(ModelError):
    pass


class ContextTooLong(ModelError):
    pass


class ModelRefused(ModelError):
    pass


class MalformedStep(ModelError):
    """``text`` is the beginning of what the model wrote, for the operator's log."""

    def __init__(self, message: str, *, model: str = "", text: str = "") -> None:
        super().__init__(message, model=model)
        self.text = text


class ToolsUnsupported(ModelError):
    pass


class UnknownPrice(ModelError):
    pass


class UnknownModel(ModelError):
    pass
