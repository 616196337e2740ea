"""The table of all metrics in the page about telemetry, made from their definitions.

``python -m server.telemetry.metrics_page docs/telemetry.md`` writes it between its two marks; a
test keeps it true.
"""

from __future__ import annotations

import sys
from pathlib import Path

from server.telemetry import metric_names as names

BEGIN = "<!-- metrics: made by python -m server.telemetry.metrics_page -->"
END = "<!-- /metrics -->"


def table() -> str:
    """All metrics as Markdown."""
    rows = [
        f"| `{one.name}` | {one.kind.value} | {_labels(one)} | {one.where.value} | {one.help} |"
        for one in names.ALL
    ]
    head = "| metric | type | labels | told by | what it is |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(rows)


def written(page: str) -> str:
    """The page with the table as it is now. Raises ValueError for a page without the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: put {BEGIN} and {END} there")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _labels(metric: names.Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
