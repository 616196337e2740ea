"""What threads keep of files, as settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from server.artifacts.store import FileLimits


class FileSettings(BaseModel):
    """Files of threads: what users upload, and what runs make (`[files]`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_mib: int = Field(default=16, ge=1, le=256, description="largest file, MiB")
    per_run: int = Field(default=50, ge=0, description="most files and figures that a run keeps")
    per_thread: int = Field(default=200, ge=0, description="most files of a thread")
    thread_mib: int = Field(
        default=64, ge=1, description="most MiB of a thread's files; equal contents count once"
    )
    link_days: float = Field(
        default=7.0,
        gt=0,
        description="days for which a link to a file in a chat completion needs no key; made only "
        "where keys are needed",
    )


class ArtifactSettings(BaseModel):
    """Files among the settings."""

    files: FileSettings = Field(
        default=FileSettings(), description="Files of threads: uploads, and what runs make"
    )

    def file_limits(self) -> FileLimits:
        """What a thread keeps."""
        # Late: a client of Redis, which reading the settings does not need.
        from server.artifacts.store import MEBIBYTE, FileLimits

        return FileLimits(
            file_bytes=self.files.file_mib * MEBIBYTE,
            run_files=self.files.per_run,
            thread_files=self.files.per_thread,
            thread_bytes=self.files.thread_mib * MEBIBYTE,
        )
