"""How documents are embedded, looked up and reranked, as settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, model_validator

from server.url_section import HttpUrl
from tools.retrieval.fusion import Fusion
from tools.retrieval.options import Mode, SearchOptions


class SearchSettings(BaseModel):
    """Embedder, search and reranker among the settings; see [retrieval](retrieval.md)."""

    embedder: Literal["minilm", "sentence-transformers", "remote"] = Field(
        default="minilm",
        description="What makes vectors of texts: all-MiniLM-L6-v2 on this machine; any model of "
        "sentence-transformers (`.venv/bin/pip install -e '.[local-models]'`); or a service. "
        "Documents have to be ingested anew after a change",
    )
    embedder_model: str | None = Field(
        default=None, description="The embedder's name at the hub, its folder, or its service's"
    )
    embedder_url: HttpUrl | None = Field(
        default=None, description="What stands before `/embeddings` of an OpenAI-compatible service"
    )
    embedder_key: SecretStr | None = Field(default=None, description="Bearer key for that service")
    embedder_query_prefix: str = Field(
        default="", description="What stands before every question, such as `query: ` for E5"
    )
    embedder_document_prefix: str = Field(
        default="", description="What stands before every passage, such as `passage: ` for E5"
    )
    search_mode: Mode = Field(
        default=Mode.HYBRID, description="Which searches are asked: `hybrid`, `dense` or `bm25`"
    )
    search_fusion: Fusion = Field(
        default=Fusion.SCORES,
        description="How two lists become one: `scores`, `rrf` (reciprocal ranks) or `dbsf`",
    )
    search_weight: float = Field(
        default=0.5, ge=0, le=1, description="BM25's share where scores are fused"
    )
    search_rrf_k: int = Field(default=60, ge=1, le=1_000, description="The constant of `rrf`")
    search_candidates: int = Field(
        default=100, ge=1, le=1_000, description="Passages that come of each of the two searches"
    )
    search_parts: bool = Field(
        default=True,
        description="Whether a person's search that asks several things is taken apart and each of "
        "them searched too; a team takes its questions apart itself",
    )
    search_diversity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="How much being unlike the passages before it counts for a passage",
    )
    search_per_document: int | None = Field(
        default=None, ge=1, description="So many passages of one document at most"
    )
    search_embed_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Seconds for a question's vector; later, its words alone are searched",
    )
    search_rerank_seconds: float = Field(
        default=2.0, gt=0, description="Seconds for the reranker; later, the order stays as it is"
    )
    reranker: Literal["none", "features", "cross-encoder", "remote"] = Field(
        default="features",
        description="What looks at the first hits again: a small linear model of our own; a "
        "cross-encoder of sentence-transformers; or a service with `/rerank`",
    )
    reranker_model: str | None = Field(
        default=None, description="The reranker's name at the hub, its folder, or its service's"
    )
    reranker_url: HttpUrl | None = Field(
        default=None, description="What stands before `/rerank` of the service"
    )
    reranker_key: SecretStr | None = Field(default=None, description="Bearer key for that service")
    reranker_depth: int = Field(
        default=10, ge=1, le=200, description="How many of the first hits a model reads"
    )

    def search_options(self) -> SearchOptions:
        """How a search is done that says nothing else."""
        return SearchOptions(
            mode=self.search_mode,
            fusion=self.search_fusion,
            weight=self.search_weight,
            rrf_k=self.search_rrf_k,
            candidates=self.search_candidates,
            diversity=self.search_diversity,
            per_document=self.search_per_document,
            embed_seconds=self.search_embed_seconds,
            rerank_seconds=self.search_rerank_seconds,
        )

    def asked_options(self) -> SearchOptions:
        """How a person's search is done that says nothing else."""
        return replace(self.search_options(), parts=self.search_parts)

    @model_validator(mode="after")
    def _named(self) -> SearchSettings:
        for kind, chosen, model, url in (
            ("embedder", self.embedder, self.embedder_model, self.embedder_url),
            ("reranker", self.reranker, self.reranker_model, self.reranker_url),
        ):
            if chosen in {"sentence-transformers", "cross-encoder", "remote"} and not model:
                raise ValueError(f"{kind}: {chosen} needs {kind}_model beside it")
            if chosen == "remote" and not url:
                raise ValueError(f"{kind}: remote needs {kind}_url beside it")
            if chosen != "remote" and url:
                raise ValueError(f'{kind}_url: is used with {kind} = "remote" alone; set that')
        return self
