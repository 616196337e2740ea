"""What many tests share."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import Future

import pytest
from hypothesis import settings
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.scheduler.protocol import Scheduling

from graphs.keys import Keys
from server.redis_client import open_redis
from server.redis_server import RedisServer
from tests import examples
from tests.doubles import redis_kinds
from tests.doubles.openai_endpoint import OpenAIEndpoint

pytest_plugins = ["tests.compatibility.collector"]

PROVED = (
    "tests/server/threads/test_sdk.py",
    "tests/server/test_runs_sdk.py",
    "tests/server/test_crons_routes.py",
    "tests/server/test_store_routes.py",
    "tests/compatibility/test_table.py",
)
"""What docs/compatibility.md says is proved by these, in one process, and the last one looks."""
SLOWEST = (
    "tests/faults/test_faults.py",
    *PROVED,
    "tests/stack/test_survival.py",
    "tests/server/cli/",
    "tests/evals/",
    "tests/console/",
    "tests/server/slack/",
)
"""Files that take longest: begun last, one of them would keep all other cores waiting."""


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests are played by one process, and those of ``PROVED`` by the same one."""

    def _split_scope(self, nodeid: str) -> str:
        scope: str = super()._split_scope(nodeid)
        return PROVED[0] if scope in PROVED else scope


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Ours in place of xdist's own ``loadfile``."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first, whatever order chance has put them into."""

    def place(item: pytest.Item) -> int:
        found = (n for n, start in enumerate(SLOWEST) if item.nodeid.startswith(start))
        return next(found, len(SLOWEST))

    items.sort(key=place)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--leaks",
        action="store_true",
        help="Look after each test, not each file, for what was left open.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Whoever has a key of E2B's does not have the tests run code there.

    Generated examples are the same each time, and others where slow tests are asked for too.
    """
    for name in ("E2B_API_KEY", "E2B_DOMAIN"):
        os.environ.pop(name, None)
    examples.register()
    chosen = config.getoption("hypothesis_profile", default=None)
    settings.load_profile(chosen or (examples.SUITE if config.option.markexpr else examples.WIDE))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays; to look through it for garbage would take a third of the start."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What a file leaves open is told there, and not wherever the garbage is next collected."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_left_open_by_one(request: pytest.FixtureRequest) -> Iterator[None]:
    """The same after each test, where it is asked for: it says which."""
    yield
    if request.config.getoption("leaks"):
        gc.collect()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The embedded Redis, started once for the whole session."""
    server = RedisServer(tmp_path_factory.mktemp("data"))
    started: Future[None] = Future()
    stop = threading.Event()

    async def serve() -> None:
        try:
            await server.start()
        except Exception as error:
            started.set_exception(error)
            raise
        started.set_result(None)
        await asyncio.to_thread(stop.wait)
        await server.close()

    # A loop of its own, so that a test's loop may be running when this is first asked for.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="redis")
    thread.start()
    started.result(timeout=30)
    yield server
    stop.set()
    thread.join()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture
def keys(redis_url: str) -> Iterator[Keys]:
    """Key names under a prefix of this test's own; a key outside it is a leak."""
    names = Keys(prefix=f"test-{uuid.uuid4().hex}:")
    yield names
    with BlockingRedis.from_url(redis_url) as redis:
        found = [key.decode() for key in redis.scan_iter(count=1000)]
        redis.flushall()
    assert [key for key in found if not key.startswith(names.prefix)] == []


@pytest.fixture
async def redis(redis_url: str, keys: Keys) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def openai_endpoint() -> AsyncIterator[OpenAIEndpoint]:
    """An OpenAI-compatible endpoint that replies by script; every reply has to be used."""
    endpoint = await OpenAIEndpoint().start()
    yield endpoint
    await endpoint.aclose()
    endpoint.assert_exhausted()


@pytest.fixture(scope="session")
def redis_of_kind(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], redis_kinds.Server]]:
    """A server of each kind, started when first asked for, once for the whole session."""
    running: dict[str, redis_kinds.Server] = {}

    def started(kind: str) -> redis_kinds.Server:
        if kind not in running:
            running[kind] = redis_kinds.Server(kind, tmp_path_factory.mktemp(kind))
        return running[kind]

    yield started
    for server in running.values():
        server.kill()


@pytest.fixture(params=redis_kinds.KINDS)
def redis_kind(request: pytest.FixtureRequest) -> str:
    """Runs a test once for each kind of server that we promise to run on.

    A module whose tests are for all of them has a ``redis_url`` of its own: ``redis_of_kind`` of
    this.
    """
    return str(request.param)
