"""Which language a source file is written in, by the end of its name."""

from __future__ import annotations

LANGUAGES = {
    ".py": "python", ".js": "javascript", ".jsx": "javascript", ".ts": "typescript",
    ".tsx": "typescript", ".java": "java", ".kt": "kotlin", ".c": "c", ".h": "c", ".cc": "c++",
    ".cpp": "c++", ".hpp": "c++", ".cs": "csharp", ".go": "go", ".rs": "rust", ".rb": "ruby",
    ".php": "php", ".swift": "swift", ".scala": "scala", ".sh": "shell", ".bash": "shell",
    ".sql": "sql", ".lua": "lua", ".pl": "perl", ".r": "r", ".jl": "julia", ".json": "json",
    ".jsonl": "jsonl", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".ini": "ini",
    ".cfg": "ini", ".css": "css", ".xml": "xml", ".proto": "protobuf", ".tf": "terraform",
    ".dockerfile": "dockerfile",
}  # fmt: skip
