"""Dashboards and alerts: what they show exists, and they are what Grafana and Prometheus read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from server.telemetry import metric_names as names
from server.telemetry import metrics_page
from tests.server.telemetry.promql import labels_of, metrics_of, unknown

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = DEPLOY / "prometheus" / "rules" / "counterpoint.yml"
PROMTOOL = shutil.which("promtool")


def expressions(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            inner, _, label = variable["query"]["query"].partition("(")[2].partition(", ")
            yield f"count by ({label.rstrip(')')}) ({inner})"


def dropped(told: Any, again: Any, place: str = "") -> Iterator[str]:
    """What did not come through the schema: a field that it does not know, or a wrong type."""
    if isinstance(told, dict) and isinstance(again, dict):
        for name, value in told.items():
            yield from dropped(value, again.get(name), f"{place}.{name}")
    elif isinstance(told, list) and isinstance(again, list) and len(told) == len(again):
        for number, (one, other) in enumerate(zip(told, again, strict=True)):
            yield from dropped(one, other, f"{place}[{number}]")
    elif told != again:
        yield f"{place}: {told!r} became {again!r}"


def rules() -> list[dict[str, Any]]:
    told = yaml.safe_load(RULES.read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


def test_names_and_labels_are_read_out_of_promql() -> None:
    said = (
        'histogram_quantile(0.95, sum by (le, model) (rate(a_bucket{ok="x{y}", m=~"$m"}[5m])))'
        " / on (job) b > 0.5 or delta(max(c)[15m:1m])"
    )
    assert metrics_of(said) == {"a_bucket", "b", "c"}
    assert labels_of(said) == {"le", "model", "ok", "m", "job"}
    assert list(unknown("sum by (run_id) (counterpoint_nothing)")) != []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_metric_and_label_of_a_dashboard_is_told_by_the_program(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert [one for said in expressions(board) for one in unknown(said)] == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafanas_schema_knows_all_that_a_dashboard_says(path: Path) -> None:
    register_default_plugins()
    board = json.loads(path.read_text())
    read = Dashboard.from_json(board)
    again = json.loads(JSONEncoder().encode(read))
    assert list(dropped(board, again)) == []
    assert list(dropped({**board, "panel": []}, again)) == [".panel: [] became None"]
    assert all(type(one).__module__.startswith("grafana_") for one in read.panels or ())
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({(place["x"], place["y"]) for place in places}) == len(places)


def test_every_metric_is_shown_somewhere() -> None:
    shown = {
        name
        for path in DASHBOARDS
        for said in expressions(json.loads(path.read_text()))
        for name in metrics_of(said)
    }
    for suffix in ("_bucket", "_sum", "_count"):
        shown |= {name.removesuffix(suffix) for name in shown}
    assert {one.name for one in names.ALL} - shown == set()


def test_every_metric_and_label_of_an_alert_is_told_by_the_program() -> None:
    assert [one for rule in rules() for one in unknown(rule["expr"])] == []


def test_an_alert_says_how_bad_it_is_and_what_it_is() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


def test_what_grafana_and_prometheus_are_given_fits_together() -> None:
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert (DEPLOY / "prometheus").joinpath(scraped["rule_files"][0]).parent == RULES.parent
    assert "counterpoint" in {job["job_name"] for job in scraped["scrape_configs"]}
    for path in (DEPLOY / "grafana" / "provisioning").rglob("*.yaml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1


def test_the_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text()
    assert page == metrics_page.written(page), (
        "run python -m server.telemetry.metrics_page docs/telemetry.md"
    )


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: scripts/debian-packages --prometheus")
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "deploy/prometheus/rules/counterpoint.yml"),
        ("test", "rules", "deploy/prometheus/tests/counterpoint.yml"),
        ("check", "config", "--syntax-only", "deploy/prometheus/prometheus.yml"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_promtool_takes_the_rules_and_their_cases(words: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    ended = subprocess.run([PROMTOOL, *words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
