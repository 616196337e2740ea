"""The page that documents every setting, made from the settings themselves.

``python -m server.settings_table > docs/configuration.md`` writes it; a test keeps it true.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from server.file_section import FileSettings
from server.limit_section import BudgetSettings
from server.policy_section import RuleSettings
from server.sandbox_section import SandboxSettings
from server.sections import (
    GraphSettings,
    KeySettings,
    ModelSettings,
    RoleSettings,
)
from server.settings import PREFIX, Settings
from server.slack_section import SlackPersonSettings

_HEAD = """# Configuration

Nothing has to be configured. What is set is read from, strongest first: the command line,
`COUNTERPOINT_*` variables, `counterpoint.toml` in the current folder (or the file that
`COUNTERPOINT_CONFIG` names), the defaults below. An unknown name or a bad value stops the start
with the key's name. This page is made by `python -m server.settings_table`.

`OPENAI_API_KEY` alone selects OpenAI (`OPENAI_BASE_URL` and `COUNTERPOINT_MODEL` are honoured
beside it). With no model URL at all, the local model answers.

A list or a table is JSON in a variable: `COUNTERPOINT_CORS_ORIGINS='["https://chat.example"]'`,
`COUNTERPOINT_SANDBOX='{"kind": "none"}'`.

Each `COUNTERPOINT_NAME` may also be given as `COUNTERPOINT_NAME_FILE`, the path of a file that
holds the value, so that a secret need not stand in the environment.

| variable | key in `counterpoint.toml` | default | what it is |
| --- | --- | --- | --- |
"""
_DEFAULT_TEXTS = {
    "data_dir": "`~/.local/share/counterpoint` (`XDG_DATA_HOME`)",
    "models_dir": "`~/.cache/counterpoint/models` (`XDG_CACHE_HOME`)",
    "offline": "`false`",
    "slack_bot_token": "`SLACK_BOT_TOKEN`",
    "slack_signing_secret": "`SLACK_SIGNING_SECRET`",
    "slack_app_token": "`SLACK_APP_TOKEN`",
    "policy": "`search_documents`, `read_document` and `run_python` allowed",
}


def page() -> str:
    """The whole page as Markdown."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | `{name}` | {_default(name, field)} | {_text(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    parts = [_HEAD + "\n".join(rows) + "\n"]
    parts.append(_section("`[[keys]]`: who may call, and what they may do", KeySettings))
    parts.append(_section("`[graphs.NAME]`: one graph of your own", GraphSettings))
    parts.append(_section("`[models.NAME]`: one named model", ModelSettings))
    parts.append(_section("`[roles]`: which model plays which role", RoleSettings))
    parts.append(_section("`[budgets.TENANT]`: what a tenant may spend", BudgetSettings))
    parts.append(_section("`[sandbox]`: sessions of the coder", SandboxSettings))
    parts.append(_section("`[files]`: what threads keep of files", FileSettings))
    parts.append(_section("`[[slack_people]]`: who may ask in Slack", SlackPersonSettings))
    parts.append(_section("`[[policy]]`: what agents may do", RuleSettings))
    parts.append(_EXAMPLE)
    return "\n".join(parts)


_EXAMPLE = """## An example

```toml
port = 8080
max_seconds = 300

[models.big]
url = "http://127.0.0.1:9000/v1"
model = "Qwen/Qwen2.5-72B-Instruct-AWQ"
tools = "native"
input_price = 0
output_price = 0

[roles]
coordinator = "big"
worker = "big"
critic = "big"

[[policy]]
tool = "search_documents"
effect = "allow"

[[policy]]
tool = "read_document"
effect = "allow"

[[policy]]
tool = "run_python"
agent = "coder"
effect = "allow"
```
"""


def _section(title: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_default(name, field)} | {_text(field)} |"
        for name, field in model.model_fields.items()
    ]
    return f"## {title}\n\n| key | default | what it is |\n| --- | --- | --- |\n" + "\n".join(rows)


def _text(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    choices = [f"`{choice}`" for choice in _choices(field.annotation)]
    return f"{text} ({', '.join(choices)})" if choices else text


def _choices(annotation: Any) -> tuple[str, ...]:
    arguments = get_args(annotation)
    if str(get_origin(annotation)) == "typing.Literal":
        return tuple(str(argument) for argument in arguments)
    return ()


def _default(name: str, field: FieldInfo) -> str:
    if name in _DEFAULT_TEXTS:
        return _DEFAULT_TEXTS[name]
    value = field.default
    if value is PydanticUndefined:
        return "required" if field.default_factory is None else "empty"
    if value is None:
        return "not set"
    if isinstance(value, (BaseModel, frozenset)) or value == ():
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if str(value) else "empty"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
