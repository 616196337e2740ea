"""The run that a firing makes."""

from __future__ import annotations

import logging
from typing import Protocol

from pydantic import ValidationError
from starlette.exceptions import HTTPException

from server.assistants.records import Assistant, AssistantError
from server.clock import microseconds
from server.crons.cron import Due
from server.crons.scheduler import Fire, NeverAgainError, NotFiredError
from server.runs.record import NotDurableError, RunError, ThreadNotFoundError
from server.runs.service import Runs
from server.wire import run_request
from server.wire.run_request import RunRequest

_log = logging.getLogger(__name__)


class Known(Protocol):
    """Where assistants are found."""

    async def resolve(self, name: str, /, *, tenant: str) -> Assistant: ...


def firing(*, runs: Runs, assistants: Known, collection: str) -> Fire:
    """Firings as runs: those of one firing are one, however often it is asked for.

    ``collection`` holds the documents of a run whose cron names none.
    """

    async def fire(due: Due) -> None:
        cron, wanted = due.cron, due.cron.definition
        stateless = wanted.thread_id is None
        try:
            request = RunRequest.model_validate(
                {
                    **wanted.run,
                    "assistant_id": wanted.assistant_id,
                    "metadata": {**wanted.metadata, "cron_id": cron.cron_id},
                }
            )
            assistant = await assistants.resolve(wanted.assistant_id, tenant=cron.tenant)
            asked = run_request.asked(
                request,
                graph=assistant.graph_id,
                assistant_id=assistant.assistant_id,
                config=assistant.config,
                context=assistant.context,
                collection=wanted.collection or collection,
                stateless=stateless,
                user=wanted.user,
                roles=wanted.roles,
            )
            await runs.create(
                asked,
                tenant=cron.tenant,
                thread_id=wanted.thread_id,
                idempotency_key=f"cron:{cron.cron_id}:{microseconds(due.at)}",
                create_thread=stateless,
            )
        except NotDurableError as error:
            # It is stored and goes on.
            _log.warning("cron %s has fired: %s", cron.cron_id, error)
        except ThreadNotFoundError as error:
            raise NeverAgainError(str(error)) from error
        except (AssistantError, RunError) as error:
            raise NotFiredError(str(error)) from error
        except ValidationError as error:
            raise NotFiredError(f"its run cannot be read: {error.errors()[0]['msg']}") from error
        except HTTPException as error:
            raise NotFiredError(str(error.detail)) from error

    return fire
