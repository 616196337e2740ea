"""Which processes the stack is made of, and what each is told; nothing is started here."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from scripts.stack.supervisor import Look, Process, StackError, python
from server import house_models

ROOT = Path(__file__).parents[2]
PROXY_CONFIG = ROOT / "deploy" / "proxy" / "haproxy.cfg"
REDIS_CONFIG = ROOT / "deploy" / "redis" / "valkey.conf"
HOST = "127.0.0.1"
OURS = "COUNTERPOINT_"
DOCUMENTS = "documents"
# Settings that the stack gives itself, and their files.
_NAMES = "REDIS_URL KNOWLEDGE_URL HOST PORT DATA_DIR METRICS_HOST METRICS_PORT".split()
_GIVEN = tuple(OURS + name for name in _NAMES)
_SERVERS = ("valkey-server", "redis-server")
_LOOK_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Ports:
    """One for each process that listens; those that are not given are chosen."""

    proxy: int
    redis: int
    documents: int
    api_1: int
    api_2: int
    worker_1: int
    worker_2: int
    model: int
    prometheus: int

    @classmethod
    def free(cls, *, proxy: int = 0) -> Ports:
        """Ports that nobody listens on now. All are open at once, so that no two are the same."""
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(9)]
            found = [sock.getsockname()[1] for sock in opened]
        return cls(
            proxy=proxy or found[0],
            redis=found[1],
            documents=found[2],
            api_1=found[3],
            api_2=found[4],
            worker_1=found[5],
            worker_2=found[6],
            model=found[7],
            prometheus=found[8],
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the stack is to be.

    ``variables`` are settings of all its processes of ours, ``program`` the words that
    ``counterpoint`` is called by. With ``weights`` the built-in model is served for all workers,
    by the key in ``key_file``; without ``owner`` the documents are where the settings say.
    """

    folder: Path
    ports: Ports
    variables: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = ("-m", "server.cli")
    weights: Path | None = None
    key_file: Path | None = None
    owner: bool = True
    redis: str = "redis-server"
    haproxy: str = "haproxy"
    prometheus: str | None = None

    @property
    def url(self) -> str:
        """Where the stack is reached."""
        return f"http://{HOST}:{self.ports.proxy}"

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.ports.redis}/0"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def rows(self) -> list[list[Process]]:
        """In the order in which they start; those of a row start side by side."""
        first = [self._redis()]
        if self.weights is not None:
            first.append(self._model(self.weights))
        last = [self._proxy()]
        if self.prometheus is not None:
            last.append(self._prometheus(self.prometheus))
        apis = [self._api(name, port) for name, port in self._apis()]
        workers = [self._worker(name, port) for name, port in self._workers()]
        owner = [self._documents()] if self.owner else []
        return [first, owner, [*apis, *workers], last]

    def write(self) -> None:
        """The folders, and the configurations that are made for these ports."""
        for name in ("redis", "owner", "data", "prometheus", "logs"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.prometheus is not None:
            self._prometheus_config.write_text(json.dumps(self._scraped(), indent=2))

    def _apis(self) -> list[tuple[str, int]]:
        return [("api-1", self.ports.api_1), ("api-2", self.ports.api_2)]

    def _workers(self) -> list[tuple[str, int]]:
        return [("worker-1", self.ports.worker_1), ("worker-2", self.ports.worker_2)]

    def _ours(self, name: str, *, data: str, port: int = 0) -> dict[str, str]:
        """The settings of a process of ours."""
        made = {
            **self.variables,
            OURS + "DATA_DIR": str(self.folder / data),
            OURS + "REDIS_URL": self.redis_url,
        }
        if port:
            made |= {OURS + "HOST": HOST, OURS + "PORT": str(port)}
        if self.owner and name != DOCUMENTS:
            made[OURS + "KNOWLEDGE_URL"] = f"http://{HOST}:{self.ports.documents}"
        if self.weights is not None:
            made |= {
                OURS + "MODEL_URL": f"http://{HOST}:{self.ports.model}/v1",
                OURS + "MODEL": house_models.LOCAL_NAME,
                OURS + "MODEL_KEY_FILE": str(self.key_file),
                OURS + "MODEL_TOOLS": "constrained",
                OURS + "MODEL_CONTEXT": str(house_models.LOCAL_CONTEXT),
                OURS + "MODEL_INPUT_PRICE": "0",
                OURS + "MODEL_OUTPUT_PRICE": "0",
            }
        return made

    def _redis(self) -> Process:
        # The same settings as in docker-compose.yml; the password is for what others can reach.
        settings = {
            "bind": HOST,
            "port": str(self.ports.redis),
            "dir": str(self.folder / "redis"),
            "protected-mode": "yes",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return Process(
            name="redis",
            words=[self.redis, str(REDIS_CONFIG), *words],
            look=answers_ping(self.redis_url),
            # Its keys are none of our business, nor ours of it; a bad locale stops it.
            environment={"LC_ALL": "C"},
            without=(OURS, "LC_", "LANG"),
            where=f"{HOST}:{self.ports.redis}",
        )

    def _model(self, weights: Path) -> Process:
        url = f"http://{HOST}:{self.ports.model}"
        return Process(
            name="model",
            words=python(
                *("-m", "models.llama_serve", "--weights", str(weights)),
                *("--name", house_models.LOCAL_NAME, "--context", str(house_models.LOCAL_CONTEXT)),
                *("--port", str(self.ports.model), "--key-file", str(self.key_file)),
            ),
            look=answers(f"{url}/health"),
            without=(OURS,),
            where=url,
            ready_seconds=300.0,
        )

    def _documents(self) -> Process:
        return self._serving(DOCUMENTS, self.ports.documents, "--keep-documents", data="owner")

    def _api(self, name: str, port: int) -> Process:
        return self._serving(name, port, data="data")

    def _serving(self, name: str, port: int, *options: str, data: str) -> Process:
        url = f"http://{HOST}:{port}"
        return Process(
            name=name,
            words=python(*self.program, "api", *options),
            look=answers(f"{url}/ok"),
            environment=self._ours(name, data=data, port=port),
            without=_GIVEN,
            where=url,
        )

    def _worker(self, name: str, port: int) -> Process:
        url = f"http://{HOST}:{port}"
        own = {OURS + "METRICS_HOST": HOST, OURS + "METRICS_PORT": str(port)}
        return Process(
            name=name,
            words=python(*self.program, "worker"),
            look=answers(f"{url}/ok"),
            environment={**self._ours(name, data="data"), **own},
            without=_GIVEN,
            where=f"{url}/metrics",
            grace_seconds=30.0,
        )

    def _proxy(self) -> Process:
        return Process(
            name="proxy",
            words=[self.haproxy, "-db", "-f", str(PROXY_CONFIG)],
            look=answers(f"{self.url}/ok"),
            environment={
                "PROXY_BIND": f"{HOST}:{self.ports.proxy}",
                "API_1": f"{HOST}:{self.ports.api_1}",
                "API_2": f"{HOST}:{self.ports.api_2}",
            },
            without=(OURS,),
            where=self.url,
        )

    @property
    def _prometheus_config(self) -> Path:
        return self.folder / "prometheus" / "prometheus.yml"

    def _prometheus(self, program: str) -> Process:
        url = f"http://{HOST}:{self.ports.prometheus}"
        return Process(
            name="prometheus",
            words=[
                program,
                f"--config.file={self._prometheus_config}",
                f"--storage.tsdb.path={self.folder / 'prometheus' / 'data'}",
                "--storage.tsdb.retention.time=15d",
                f"--web.listen-address={HOST}:{self.ports.prometheus}",
            ],
            look=answers(f"{url}/-/ready"),
            without=(OURS,),
            where=url,
        )

    def _scraped(self) -> Mapping[str, object]:
        """Prometheus's configuration, in JSON, which is YAML."""
        ports = [port for _, port in (*self._apis(), *self._workers())]
        if self.owner:
            ports.append(self.ports.documents)
        targets = [f"{HOST}:{port}" for port in ports]
        rules = sorted(
            str(path) for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")
        )
        return {
            "global": {"scrape_interval": "15s"},
            "rule_files": rules,
            "scrape_configs": [
                {"job_name": "counterpoint", "static_configs": [{"targets": targets}]}
            ],
        }


def answers(url: str) -> Look:
    """Whether 200 is answered there."""

    async def look() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=_LOOK_SECONDS) as client:
            try:
                return (await client.get(url)).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

    return look


def answers_ping(url: str) -> Look:
    """Whether the Redis there has read its file and answers."""

    async def look() -> bool:
        client = Redis.from_url(
            url,
            socket_timeout=_LOOK_SECONDS,
            socket_connect_timeout=_LOOK_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()

    return look


def program(*names: str) -> str | None:
    """The first of these programs that is there, also where only root looks."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    return None


def needed() -> tuple[str, str]:
    """The server of Redis and the proxy. Raises StackError with what to install."""
    redis, haproxy = program(*_SERVERS), program("haproxy")
    missing = [
        name for name, found in (("redis-server", redis), ("haproxy", haproxy)) if found is None
    ]
    if redis is None or haproxy is None:
        raise StackError(
            f"not on this machine: {', '.join(missing)}; on Debian or Ubuntu: apt-get install "
            f"{' '.join(missing)}"
        )
    return redis, haproxy
