"""Files with known answers for ``evals.data_tasks``, always the same: made from a seed."""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

ROWS = 100_000
_SEED = 20_240_717
_REGIONS = ("North", "South", "East", "West")
_DEPARTMENTS = ("Research", "Sales", "Support", "Operations")
_YEARS = (2022, 2023, 2024)
_POSITIONS = 64
_STATIONS = ("Alm", "Berg", "Tal")

Orders = tuple[Decimal, Counter[str]]
"""Revenue of the north, and quantities by region."""


@dataclass(frozen=True, kw_only=True)
class DataTask:
    """A question about a file, and what its answer has to hold: numbers to two places, words, and
    where ``draws`` is set an image.
    """

    name: str
    file: str
    question: str
    numbers: tuple[Decimal, ...] = ()
    words: tuple[str, ...] = ()
    draws: bool = False


def make(folder: Path) -> list[DataTask]:
    """Write all files into a folder; the tasks over them, the lightest first."""
    orders = _orders(folder)
    return [
        _large(orders),
        _broken(folder),
        _workbook(folder),
        _pdf(folder),
        _plot(orders),
    ]


def _orders(folder: Path) -> Orders:
    """100,000 orders; the revenue of the north, and the quantities by region."""
    dice = random.Random(_SEED)
    cents, quantities = 0, Counter[str]()
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["order_id", "date", "region", "quantity", "unit_price"])
        for number in range(1, ROWS + 1):
            region = dice.choices(_REGIONS, weights=(5, 4, 3, 6))[0]
            quantity, price = dice.randint(1, 20), dice.randint(99, 99_999)
            date = f"2024-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
            rows.writerow([number, date, region, quantity, f"{price / 100:.2f}"])
            quantities[region] += quantity
            cents += quantity * price if region == "North" else 0
    return Decimal(cents) / 100, quantities


def _large(orders: Orders) -> DataTask:
    revenue, _ = orders
    return DataTask(
        name="csv",
        file="orders.csv",
        question="What is the total revenue, quantity times unit_price, of the region North in "
        "orders.csv?",
        numbers=(revenue,),
    )


def _plot(orders: Orders) -> DataTask:
    _, quantities = orders
    return DataTask(
        name="plot",
        file="orders.csv",
        question="Draw a bar chart of the total quantity by region from orders.csv, and tell me "
        "which region has the largest.",
        words=(quantities.most_common(1)[0][0],),
        draws=True,
    )


def _broken(folder: Path) -> DataTask:
    """German numbers, cp1252, a title, a second header, a short row, gaps and a comment."""
    dice = random.Random(_SEED + 1)
    lines = ["Messreihe Münster, Stand März 2024", "", "Datum;Station;Temperatur (°C)"]
    tenths = []
    for day in range(1, 201):
        date = f"{(day - 1) % 28 + 1:02}.{(day - 1) // 28 + 1:02}.2024"
        if day == 90:
            lines.append("Datum;Station;Temperatur (°C)")
        if day % 37 == 0:
            lines.append(f"{date};{dice.choice(_STATIONS)}")
            continue
        if day % 23 == 0:
            lines.append(f"{date};{dice.choice(_STATIONS)};k. A.")
            continue
        value = dice.randint(-95, 312)
        tenths.append(value)
        written = f"{value / 10:.1f}".replace(".", ",")
        lines.append(f'{date};"{dice.choice(_STATIONS)}";{written}')
    lines += ["", "# Ende der Messreihe"]
    (folder / "broken.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    mean = (Decimal(sum(tenths)) / 10 / len(tenths)).quantize(Decimal("0.01"))
    return DataTask(
        name="broken",
        file="broken.csv",
        question="What is the average temperature in broken.csv, to two decimals? Leave out rows "
        "without a number.",
        numbers=(mean,),
    )


def _workbook(folder: Path) -> DataTask:
    import openpyxl

    dice = random.Random(_SEED + 2)
    totals = Counter[str]()
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    book.active.append(["Costs in EUR, one sheet a year. Notes are no costs."])
    for year in _YEARS:
        sheet = book.create_sheet(str(year))
        sheet.append([f"Costs {year}"])
        sheet.append(["Month", *_DEPARTMENTS])
        for month in range(1, 13):
            costs = [dice.randint(10_000, 90_000) for _ in _DEPARTMENTS]
            totals.update(dict(zip(_DEPARTMENTS, costs, strict=True)))
            sheet.append([month, *costs])
    book.create_sheet("Notes").append(["Research", 9_999_999, "an offer, never ordered"])
    book.save(folder / "costs.xlsx")
    department, cost = totals.most_common(1)[0]
    return DataTask(
        name="xlsx",
        file="costs.xlsx",
        question="Which department has the largest costs over the three years in costs.xlsx, and "
        "how much is it in total?",
        numbers=(Decimal(cost),),
        words=(department,),
    )


def _pdf(folder: Path) -> DataTask:
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

    dice = random.Random(_SEED + 3)
    rows, cents = [["Position", "Article", "Pieces", "Price", "Amount"]], 0
    for position in range(1, _POSITIONS + 1):
        pieces, price = dice.randint(1, 9), dice.randint(150, 20_000)
        cents += pieces * price
        article = f"A-{dice.randint(1000, 9999)}"
        amounts = (f"{price / 100:.2f}", f"{pieces * price / 100:.2f}")
        rows.append([str(position), article, str(pieces), *amounts])
    title = Paragraph("Invoice 2024-117", getSampleStyleSheet()["Title"])
    page = SimpleDocTemplate(str(folder / "invoice.pdf"), pagesize=A4, invariant=1)
    page.build([title, Table(rows, repeatRows=1)])
    return DataTask(
        name="pdf",
        file="invoice.pdf",
        question="What do all amounts of the table in invoice.pdf sum up to?",
        numbers=(Decimal(cents) / 100,),
    )
