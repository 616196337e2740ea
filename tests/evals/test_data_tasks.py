"""Questions over files with known answers, through the command line and the real sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from evals.data_files import DataTask, make
from evals.data_tasks import Scored, judged, scored, table, written
from evals.product import Product, Reply, installed, running
from graphs.events import Cell, RunFinished, Usage
from server import sandboxing
from server.settings import Settings
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Says
from tests.tools.sandbox.conftest import required
from tools.sandbox.find import open_sandbox

# How a good coder would do it; the numbers come from the sandbox alone.
PROGRAMS: Mapping[str, Sequence[str]] = {
    "csv": (
        "rows = open('orders.csv').readlines()\nprint(rows[0], len(rows))",
        """import csv
from decimal import Decimal
total = sum(
    int(row["quantity"]) * Decimal(row["unit_price"])
    for row in csv.DictReader(open("orders.csv"))
    if row["region"] == "North"
)
print(f"{total:.2f}")""",
    ),
    "broken": (
        "open('broken.csv', encoding='utf-8').read()",
        """values = []
for line in open("broken.csv", encoding="cp1252"):
    parts = line.strip().split(";")
    try:
        values.append(float(parts[2].replace(",", ".")))
    except (IndexError, ValueError):
        pass
print(f"{sum(values) / len(values):.2f} over {len(values)} rows")""",
    ),
    "xlsx": (
        """import pandas as pd
sheets = pd.read_excel("costs.xlsx", sheet_name=["2022", "2023", "2024"], header=1)
totals = sum(sheet.drop(columns="Month").sum() for sheet in sheets.values())
totals.sort_values(ascending=False)""",
    ),
    "pdf": (
        """import re
from decimal import Decimal
from pypdf import PdfReader
text = "\\n".join(page.extract_text() for page in PdfReader("invoice.pdf").pages)
rows = re.findall(r"(\\d+)\\s+A-\\d{4}\\s+(\\d+)\\s+([\\d.]+)\\s+([\\d.]+)", text)
print(len(rows), sum(Decimal(row[3]) for row in rows))""",
    ),
    "plot": (
        """import matplotlib.pyplot as plt
import pandas as pd
totals = pd.read_csv("orders.csv").groupby("region")["quantity"].sum()
totals.plot.bar()
plt.title("Quantity by region")
plt.show()
print(totals.idxmax())""",
    ),
}
PLAIN = ("csv", "broken")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, DataTask]:
    folder = tmp_path_factory.mktemp("files")
    return {one.name: one for one in make(folder)}


@pytest.fixture(scope="module")
def folder(tasks: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tasks' files lie."""
    del tasks
    return tmp_path_factory.getbasetemp() / "files0"


@pytest.fixture
async def product(
    openai_endpoint: OpenAIEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Product]:
    monkeypatch.setenv("COUNTERPOINT_MODEL_URL", openai_endpoint.url)
    monkeypatch.setenv("COUNTERPOINT_MODEL", "double")
    monkeypatch.setenv("COUNTERPOINT_MODEL_TOOLS", "native")
    # On a loaded machine an import alone takes long.
    monkeypatch.setenv("COUNTERPOINT_SANDBOX_SECONDS", "120")
    monkeypatch.chdir(tmp_path)
    async with running(installed(), data_dir=tmp_path / "data") as running_one:
        yield running_one


async def _libraries(tmp_path: Path) -> str:
    settings = Settings(data_dir=tmp_path / "data")
    sandbox = required(await open_sandbox(packages=sandboxing.packages_folder(settings)))
    try:
        return sandboxing.libraries(sandbox)
    finally:
        await sandbox.close()


def script(task: DataTask) -> list[Says]:
    """Its programs, then an answer in words with what they print."""
    calls = [
        Says(calls=(Call(name="run_python", args=json.dumps({"code": code}), id=f"c{n}"),))
        for n, code in enumerate(PROGRAMS[task.name])
    ]
    facts = [f"{number:,}" for number in task.numbers]
    return [*calls, Says(text=f"It is {' and '.join([*task.words, *facts])}.")]


async def _passed(
    chosen: Sequence[DataTask], *, endpoint: OpenAIEndpoint, product: Product, folder: Path
) -> None:
    for task in chosen:
        endpoint.will(*script(task))
    done = await scored(chosen, folder=folder, product=product, tell=False)
    assert {one.task.name: one.why for one in done} == {one.name: "" for one in chosen}
    for one in done:
        assert one.reply.finished is not None
        printed = "".join(cell.output for cell in one.reply.finished.cells if cell.ok)
        for known in (*one.task.words, *map(str, one.task.numbers)):
            assert known in printed, one.task.name


@pytest.mark.siege
async def test_tasks_that_need_no_packages_are_solved(
    tasks: Mapping[str, DataTask],
    folder: Path,
    product: Product,
    openai_endpoint: OpenAIEndpoint,
    tmp_path: Path,
) -> None:
    """Among them an error, which the coder reads and mends."""
    await _libraries(tmp_path)
    chosen = [tasks[name] for name in PLAIN]
    await _passed(chosen, endpoint=openai_endpoint, product=product, folder=folder)


@pytest.mark.siege
async def test_tasks_over_workbooks_documents_and_charts_are_solved(
    tasks: Mapping[str, DataTask],
    folder: Path,
    product: Product,
    openai_endpoint: OpenAIEndpoint,
    tmp_path: Path,
) -> None:
    if not await _libraries(tmp_path):
        pytest.skip("no packages for the sandbox: `counterpoint sandbox install` adds them")
    chosen = [one for name, one in tasks.items() if name not in PLAIN]
    await _passed(chosen, endpoint=openai_endpoint, product=product, folder=folder)


TASK = DataTask(name="x", file="x.csv", question="?", numbers=(Decimal("1234.5"),), words=("West",))


def replied(answer: str) -> Reply:
    end = RunFinished(
        answer=answer, stop_reason="answered", usage=Usage(), cells=[Cell(code="1", output="1")]
    )
    return Reply(events=(end,), seconds=1.0)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("West has 1,234.50 EUR.", ""),
        ("west: 1234.5", ""),
        ("West has 1 234.50 EUR", ""),
        ("West has 1234.6", "1234.5 is not in the answer"),
        ("North has 1,234.50", "West is not in the answer"),
    ],
)
def test_an_answer_has_to_hold_what_is_known(answer: str, why: str) -> None:
    assert judged(TASK, replied(answer), saved=()) == why


def test_a_chart_has_to_come_back() -> None:
    task = DataTask(name="x", file="x.csv", question="?", draws=True)
    image = b"\x89PNG\r\n\x1a\n" + bytes(5_000)
    assert judged(task, replied("Here."), saved=(b"text", image)) == ""
    assert judged(task, replied("Here."), saved=(image[:100],)) == "no chart came back"
    failed = Reply(events=(), seconds=1.0, failure="no model")
    assert judged(task, failed, saved=()) == "no answer: no model"


def test_figures_stand_in_the_page_once() -> None:
    done = [
        Scored(task=TASK, reply=replied("x"), why=""),
        Scored(task=TASK, reply=replied("x"), why="no"),
    ]
    figures = table(done, model="a model", machine="a machine")
    assert figures.startswith("1 of 2 passed with a model, on a machine.")
    page = written("# Page\n", "old")
    assert written(page, figures).count("<!-- data tasks: begin -->") == 1
    assert "old" not in written(page, figures)
    assert written(page, figures).startswith("# Page\n")
