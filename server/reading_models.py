"""The embedder and the reranker that the settings name, opened; closed with the stack."""

from __future__ import annotations

from contextlib import AsyncExitStack

from models import catalogue
from models.embedder import Embedder
from models.remembering import RememberingEmbedder
from server.settings import Settings
from tools.retrieval.feature_reranker import FeatureReranker
from tools.retrieval.reranking import ModelReranker, NoReranker, Reranker


async def embedder(settings: Settings, stack: AsyncExitStack) -> Embedder:
    """Raises WeightsError, EmbedderError."""
    match settings.embedder:
        case "minilm":
            # Late: where another process keeps the documents, nothing runs a model here.
            from models.minilm import MiniLM

            folder = settings.models_dir
            minilm = await MiniLM.open(
                folder / catalogue.EMBEDDER_MODEL.filename,
                tokenizer=folder / catalogue.EMBEDDER_TOKENIZER.filename,
            )
            stack.push_async_callback(minilm.close)
            return RememberingEmbedder(minilm)
        case "sentence-transformers":
            # Late: torch takes seconds to import, and only this needs it.
            from models.sentence_embedder import SentenceEmbedder

            local = await SentenceEmbedder.open(
                settings.embedder_model or "",
                offline=settings.offline,
                query_prefix=settings.embedder_query_prefix,
                document_prefix=settings.embedder_document_prefix,
            )
            stack.push_async_callback(local.close)
            return RememberingEmbedder(local)
        case "remote":
            from models.remote_embedder import RemoteEmbedder

            key = settings.embedder_key
            remote = await RemoteEmbedder.open(
                settings.embedder_url or "",
                model=settings.embedder_model or "",
                key=key.get_secret_value() if key else None,
                query_prefix=settings.embedder_query_prefix,
                document_prefix=settings.embedder_document_prefix,
            )
            stack.push_async_callback(remote.close)
            return RememberingEmbedder(remote)


async def reranker(settings: Settings, stack: AsyncExitStack) -> Reranker:
    """Raises WeightsError."""
    match settings.reranker:
        case "none":
            return NoReranker()
        case "features":
            return FeatureReranker.load()
        case "cross-encoder":
            from models.cross_encoder import CrossEncoderScorer

            local = await CrossEncoderScorer.open(
                settings.reranker_model or "", offline=settings.offline
            )
            stack.push_async_callback(local.close)
            return ModelReranker(local, depth=settings.reranker_depth)
        case "remote":
            from models.remote_reranker import RemoteScorer

            key = settings.reranker_key
            remote = RemoteScorer.open(
                settings.reranker_url or "",
                model=settings.reranker_model or "",
                key=key.get_secret_value() if key else None,
            )
            stack.push_async_callback(remote.close)
            return ModelReranker(remote, depth=settings.reranker_depth)
