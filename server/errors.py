"""What a caller is told when a request does not succeed: one JSON shape, ``{"detail": "..."}``.

Fault                     has a status and one line for people
├── BadRequest      400   fields that do not go together
├── Unauthorized    401
├── Forbidden       403
├── NotFound        404
├── BodyTooLarge    413
├── WrongMediaType  415
├── Invalid         422   (400 under /v1, as OpenAI's clients expect)
├── Unavailable     503
└── RunFault        400, 409, 500, 502, 504, by what the run failed of

Under /v1 the same line stands also in OpenAI's shape, ``{"error": {"message": ...}}``.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis import exceptions as redis_errors
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from graphs import events
from models import errors as model_errors
from server.approvals import record as approval
from server.approvals import shown
from server.assistants import records as assistants
from server.crons import cron
from server.runs import record as run
from server.runs.record import RunConflictError, RunNotFoundError
from server.threads import states, thread
from tools.retrieval import errors as retrieval

# What is away is most often being started again.
RETRY_AFTER_SECONDS = 1

_log = logging.getLogger(__name__)


class Fault(HTTPException):
    """An answer that is not a success. ``param`` names the field at fault, ``more`` is told too."""

    status: ClassVar[int] = 500
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.status, message, dict(headers or {}))
        self.param = param
        self.code = code
        self.more: Mapping[str, Any] = {}


class BadRequest(Fault):
    status = 400


class Unauthorized(Fault):
    status = 401


class Forbidden(Fault):
    status = 403


class NotFound(Fault):
    status = 404


class BodyTooLarge(Fault):
    status = 413


class WrongMediaType(Fault):
    status = 415


class Invalid(Fault):
    status = 422


class Unavailable(Fault):
    status = 503


class RunFault(Fault):
    """A run that failed, for a caller who waited for its answer."""

    def __init__(self, failed: events.RunFailed) -> None:
        # The server has tried again where that could help; a client's retries are whole runs.
        super().__init__(failed.message, code=failed.error, headers={"x-should-retry": "false"})
        self.status_code = run_status(failed.error)


def run_status(error: str) -> int:
    """The HTTP status for what a run failed of (``RunFailed.error``)."""
    if error in {"cancelled", "checkpoint_gone"}:
        return 409
    kind = getattr(model_errors, error, None)
    if not isinstance(kind, type) or not issubclass(kind, model_errors.ModelError):
        return 500
    if kind is model_errors.ContextTooLong:
        return 400
    return 504 if kind is model_errors.ModelTimeout else 502


def fault_of(error: Exception) -> Fault | None:
    """The answer to a failure below the routes; None for what is a fault of ours."""
    match error:
        case Fault():
            return error
        case RunNotFoundError() | run.ThreadNotFoundError():
            return NotFound(str(error))
        case RunConflictError() | run.RunExistsError():
            return _with_status(409, str(error))
        case run.NotDurableError():
            return Unavailable(str(error))
        case thread.ThreadNotFoundError() | states.CheckpointNotFoundError():
            return NotFound(str(error))
        case assistants.AssistantNotFoundError() | assistants.GraphNotFoundError():
            return NotFound(str(error))
        case (
            thread.ThreadBusyError()
            | thread.ThreadExistsError()
            | assistants.AssistantConflictError()
        ):
            return _with_status(409, str(error))
        case cron.CronNotFoundError():
            return NotFound(str(error))
        case cron.CronConflictError():
            return _with_status(409, str(error))
        case cron.CronKeyError():
            return Invalid(str(error), param="Idempotency-Key")
        case approval.ApprovalError():
            return _of_approval(error)
        case states.StateError():
            return Invalid(str(error))
        case retrieval.BadFilter():
            return Invalid(str(error), param="filters")
        case retrieval.StoreError():
            # The store says it in words alone.
            full = "disk is full" in str(error)
            return _with_status(507 if full else 503, str(error))
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _with_status(507, "the server's disk is full; free some space and try again")
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return Unavailable(
                "the server has as many files and connections open as its system allows; try again "
                "later, or raise its limit (`ulimit -n`, LimitNOFILE)"
            )
        case redis_errors.OutOfMemoryError():
            return Unavailable(
                "Redis is out of memory; delete threads, which it takes all the same, or raise its "
                "maxmemory"
            )
        case redis_errors.ResponseError() if str(error).startswith("MISCONF"):
            return _with_status(
                507, "Redis cannot write to its disk; free some space there and try again"
            )
        case redis_errors.ResponseError() if str(error).startswith(("NOREPLICAS", "MASTERDOWN")):
            return Unavailable("Redis misses its replicas and takes no writes; try again")
        case (
            redis_errors.ConnectionError()
            | redis_errors.TimeoutError()
            | redis_errors.ReadOnlyError()
            | redis_errors.ClusterDownError()
        ):
            return Unavailable("Redis does not answer; try again, or check it with `doctor`")
        case _:
            return None


def _of_approval(error: approval.ApprovalError) -> Fault:
    match error:
        case approval.ApprovalNotFoundError():
            return NotFound(str(error))
        case approval.NotAllowedError():
            return Forbidden(str(error))
        case approval.InvalidDecisionError():
            return Invalid(str(error), param=error.field)
        case approval.ExpiredError():
            return _with_status(410, str(error))
        case approval.UnconfirmedDecisionError():
            return Unavailable(str(error))
    fault = _with_status(409, str(error))
    fault.param = error.field
    if isinstance(error, approval.AlreadyDecidedError):
        fault.more = {"approval": shown.approval(error.winner)}
    elif isinstance(error, approval.StaleArgumentsError):
        fault.more = {"approval": shown.approval(error.current)}
    return fault


def _with_status(status: int, message: str) -> Fault:
    fault = Fault(message)
    fault.status_code = status
    return fault


def answer(fault: HTTPException, *, path: str) -> Response:
    """The response of a fault, in the shape of the wire that was asked."""
    status, detail = fault.status_code, str(fault.detail)
    openai = path.startswith("/v1/")
    if openai and status == Invalid.status:
        status = 400
    content: dict[str, Any] = {"detail": detail, **getattr(fault, "more", {})}
    if openai:
        content["error"] = openai_error(
            detail,
            status=status,
            param=getattr(fault, "param", None),
            code=getattr(fault, "code", None),
        )
    headers = dict(fault.headers or {})
    if status == Unavailable.status:
        headers.setdefault("retry-after", str(RETRY_AFTER_SECONDS))
    return JSONResponse(content, status_code=status, headers=headers)


def openai_error(
    message: str, *, status: int, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "invalid_request_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": param, "code": code}


def install(app: FastAPI) -> None:
    """Make the app answer every failure that it foresees in our shape."""

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(_in_words(error, request), path=request.url.path)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(_explained(error.errors()), path=request.url.path)

    async def below(request: Request, error: Exception) -> Response:
        fault = fault_of(error)
        if fault is None:
            raise error
        if fault.status_code >= 500:
            _log.warning("%s %s: %s", request.method, request.url.path, error)
        return answer(fault, path=request.url.path)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (
        run.RunError,
        approval.ApprovalError,
        thread.ThreadError,
        assistants.AssistantError,
        cron.CronError,
        retrieval.RetrievalError,
        redis_errors.RedisError,
        OSError,
    ):
        app.add_exception_handler(kind, below)


def _in_words(error: HTTPException, request: Request) -> HTTPException:
    """The framework's own refusals, with what to do instead."""
    if isinstance(error, Fault):
        return error
    path = request.url.path
    match error.status_code:
        case 404:
            return NotFound(f"nothing is served at {path}; /docs lists what is")
        case 405:
            detail = f"{request.method} is not served at {path}; /docs lists what is"
            return HTTPException(405, detail, error.headers)
        case 400:
            return Invalid(
                f"the body cannot be read ({error.detail}); /docs shows what is expected"
            )
        case _:
            return error


def _explained(problems: Sequence[Any]) -> Invalid:
    """Validation errors as one readable line that names the fields."""
    told = [_problem(problem) for problem in problems[:3]]
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return Invalid("; ".join(told) + more, param=_field(problems[0]) if problems else None)


def _field(problem: Mapping[str, Any]) -> str:
    parts = [str(part) for part in problem["loc"]] or ["body"]
    if len(parts) > 1 and parts[0] in {"body", "query", "path", "header"}:
        del parts[0]
    return ".".join(parts).encode("utf-8", errors="replace").decode()[:200]


def _problem(problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "missing":
            name = _field(problem)
            return "send a JSON object as the body" if name == "body" else f"{name} is missing"
        case "json_invalid":
            cause = (problem.get("ctx") or {}).get("error", "cannot be parsed")
            return f"the body is not valid JSON ({cause})"
        case _:
            message = str(problem["msg"]).removeprefix("Value error, ")
            return f"{_field(problem)}: {message}".encode("utf-8", errors="replace").decode()
