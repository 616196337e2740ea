"""The open models that can be recommended and served, out of ``open_models.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.errors import UnknownModel

_FILE = Path(__file__).with_name("open_models.toml")


class Task(StrEnum):
    """What a model is wanted for."""

    CHAT = "chat"
    CODE = "code"
    AGENTS = "agents"
    REASONING = "reasoning"


class Format(StrEnum):
    """How weights are stored, the least loss first."""

    BF16 = "bf16"
    FP8 = "fp8"
    MXFP4 = "mxfp4"
    AWQ = "awq"
    GPTQ = "gptq"
    W4A16 = "w4a16"


class _Known(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Latent(_Known):
    """Multi-head latent attention (DeepSeek): ranks and widths; ``query`` 0: not compressed."""

    kv: int
    query: int
    rope: int
    nope: int
    value: int


class Shape(_Known):
    """What config.json says of a decoder; widths in elements, ``window`` in tokens.

    ``ffn`` is one expert's where there are ``experts``; ``dense_layers`` are the first ones, which
    have none. ``windowed_layers`` attend to the last ``window`` tokens only. ``norms`` are those of
    a layer. ``beside`` counts parameters beside the decoder, such as a vision tower.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    tied: bool = False
    norms: int = 2
    qk_norm: bool = False
    qkv_bias: bool = False
    other_biases: bool = False
    sinks: bool = False
    window: int | None = None
    windowed_layers: int = 0
    experts: int = 0
    active_experts: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    dense_ffn: int = 0
    router_bias: bool = False
    latent: Latent | None = None
    beside: int = 0


class OpenModel(_Known):
    """One model on the Hugging Face hub; ``context`` in tokens, ``released`` as year and month.

    ``native`` is the format of ``repo`` itself; ``own_format`` the name of a format that is not
    the hub's; ``published_bytes`` the tensors' size as its index states it.
    """

    name: str
    repo: str
    licence: str
    released: str = Field(pattern=r"^20\d\d-\d\d$")
    tasks: tuple[Task, ...]
    context: int
    shape: Shape
    native: Format = Format.BF16
    published_bytes: int | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    own_format: str | None = None
    variants: dict[Format, str] = Field(default_factory=dict)

    @cached_property
    def checkpoints(self) -> dict[Format, str]:
        """Repository by format, the least loss first."""
        found = {self.native: self.repo, **self.variants}
        return {form: found[form] for form in Format if form in found}


class OpenModels(_Known):
    """The whole table."""

    model: tuple[OpenModel, ...]

    def find(self, name: str) -> tuple[OpenModel, Format] | None:
        """A model by its name here, or by a repository of it; and the format that this names."""
        wanted = name.lower()
        for model in self.model:
            if wanted == model.name:
                return model, model.native
            for form, repo in model.checkpoints.items():
                if wanted == repo.lower():
                    return model, form
        return None

    def named(self, name: str) -> OpenModel:
        """The model of that name; raises ``UnknownModel``."""
        if (found := self.find(name)) is None:
            raise UnknownModel(f"no open model is named '{name}'; known: {', '.join(self.names)}")
        return found[0]

    @property
    def names(self) -> Sequence[str]:
        return [model.name for model in self.model]


def load() -> OpenModels:
    """The table that comes with Counterpoint; reads a file."""
    return OpenModels.model_validate(tomllib.loads(_FILE.read_text(encoding="utf-8")))
