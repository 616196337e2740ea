"""What events hold besides plain values: sources, citations, scores, and what a run spent."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)


class Scores(BaseModel):
    """How well a passage fits a query, by each stage; None where that stage did not see it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bm25: float | None = None
    dense: float | None = None
    fused: float | None = None
    rerank: float | None = None


class Stage(BaseModel):
    """One step of a search: milliseconds, the candidates it left, and why it was left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    ms: float = 0.0
    candidates: int = 0
    skipped: str | None = None


class Artifact(BaseModel):
    """A figure or file that a run made; ``bytes`` is its size, ``id`` what it is fetched by."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    media_type: str
    bytes: int = Field(ge=0)


class Cell(BaseModel):
    """Code that a run ran, with what it printed; ``ok`` says that it ended well."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    output: str = ""
    ok: bool = True


class Source(BaseModel):
    """One numbered source of an answer: where it stands and what it says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(ge=1)
    document_id: str
    chunk_id: str
    title: str
    source: str
    page: int | None = None
    heading: str | None = None
    span: tuple[int, int] | None = None
    text: str
    scores: Scores | None = None


class Citation(BaseModel):
    """What one sentence of an answer rests on.

    ``start`` and ``end`` are the sentence's place in the answer, ``number`` its source's, ``text``
    the sentences there that bear it, and ``span`` their place in the document, in characters.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int = Field(ge=1)
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    document_id: str
    chunk_id: str
    source: str
    page: int | None = None
    span: tuple[int, int] | None = None
    text: str


class Usage(BaseModel):
    """What a run spent; ``cost`` in US dollars, ``seconds`` of active time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    steps: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


class Interrupt(BaseModel):
    """A question that a graph waits with; ``value`` is whatever the graph wants to know.

    ``response_schema`` is the JSON schema that its answer has to fit, where the graph says one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    value: Any = None
    response_schema: Any = None

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.response_schema is None:
            del written["response_schema"]
        return written


class Stopped(BaseModel):
    """A limit that ended a run, and ``at`` which checkpoint it goes on once that is raised."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    limit: str
    used: float
    maximum: float
    at: str
