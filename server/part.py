"""The parts that Counterpoint can be split into, a process each, and what they have to share."""

from __future__ import annotations

from enum import StrEnum

from server.settings import ConfigurationError, Settings


class Part(StrEnum):
    """Which part of Counterpoint a process is."""

    ALL = "up"
    """API and worker in one, with Redis and documents of its own where the settings name none."""
    API = "api"
    """The HTTP surface; advances no runs, so that it has neither chat models nor sandbox."""
    KEEPER = "keeper"
    """An API that also owns the documents, which others reach by ``knowledge_url``."""
    WORKER = "worker"
    """Advances runs; nobody calls it."""
    DOCUMENTS = "documents"
    """For a command that needs documents and no runs."""

    @property
    def works(self) -> bool:
        """Whether runs are advanced here."""
        return self in {Part.ALL, Part.WORKER}

    @property
    def serves(self) -> bool:
        """Whether callers are answered here, and find the address in the data folder."""
        return self is not Part.WORKER

    @property
    def listens(self) -> bool:
        """Whether requests come in here over the network."""
        return self in {Part.ALL, Part.API, Part.KEEPER}

    @property
    def owns_folder(self) -> bool:
        """Whether what lies in the data folder is this process's alone."""
        return self not in {Part.API, Part.WORKER}

    def check(self, settings: Settings) -> None:
        """Raises ConfigurationError where something that several processes share has no URL."""
        if self in {Part.ALL, Part.DOCUMENTS}:
            return
        missing = []
        if settings.redis_url is None:
            missing.append("redis_url: processes apart share one Redis; set COUNTERPOINT_REDIS_URL")
        given = settings.qdrant_url or settings.knowledge_url
        if given is None and self is not Part.KEEPER:
            missing.append(
                "qdrant_url or knowledge_url: processes apart share their documents; set "
                "COUNTERPOINT_QDRANT_URL to a Qdrant, or COUNTERPOINT_KNOWLEDGE_URL to the "
                "`counterpoint up` or `counterpoint api --keep-documents` that owns them"
            )
        if given is not None and self is Part.KEEPER:
            missing.append(
                "--keep-documents: qdrant_url or knowledge_url says that they are kept elsewhere; "
                "leave one of the two out"
            )
        if missing:
            raise ConfigurationError("\n".join(missing))
