"""A cron in a whole house: it fires, its run is worked on, and its webhook hears of the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from graphs.keys import DEFAULT_TENANT
from models.embedder import HashedEmbedder
from models.progress import RecordedProgress
from models.registry import Role
from models.scripted import ScriptedModel
from server.crons.cron import Definition
from server.house import open_house
from server.settings import Settings
from server.webhooks import signing
from tests.server.webhooks.receiver import receiving

SAID = {"messages": [{"role": "user", "content": "How long?"}]}


async def test_a_cron_fires_by_itself_and_its_webhook_hears_what_came_of_it(folder: Path) -> None:
    settings = Settings.model_validate(
        {
            "data_dir": folder / "data",
            "graphs": {"echo": "tests.server.served_graphs:echo"},
            "webhook_allow": ["127.0.0.1"],
        }
    )
    async with receiving() as receiver:
        with ScriptedModel(steps=[]) as model:
            async with open_house(
                settings,
                progress=RecordedProgress(),
                models=dict.fromkeys(Role, model),
                embedder=HashedEmbedder(dimension=64),
            ) as house:
                cron = await house.crons.create(
                    Definition(
                        schedule="* * * * * *",
                        assistant_id="echo",
                        run={"input": SAID, "webhook": receiver.url},
                    ),
                    tenant=DEFAULT_TENANT,
                )
                await asyncio.wait_for(receiver.heard.wait(), timeout=40)
                secret = signing.shown(await house.webhook_secrets.of(DEFAULT_TENANT))
        got = receiver.got[0]
    assert got.is_signed_with(secret)
    assert got.json["status"] == "success"
    assert got.json["metadata"]["cron_id"] == cron.cron_id
    assert got.json["values"]["messages"][-1]["content"] == "The notice period is thirty days."
