"""Makes the secrets of docker-compose.yml, once: a file each, in a volume for those who need it.

Run again, it makes what is missing and leaves what is there. ``python make.py FOLDER``
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from pathlib import Path


def main(folder: Path) -> int:
    """Write what is missing under ``folder``."""
    redis = kept(folder / "redis" / "password")
    write(folder / "redis" / "auth.conf", f"requirepass {redis}\n")
    write(folder / "redis" / "url", f"redis://:{redis}@redis:6379/0\n")
    qdrant = kept(folder / "qdrant" / "key")
    write(folder / "qdrant" / "config.yaml", f"service:\n  api_key: {qdrant}\n")
    kept(folder / "model" / "key")
    kept(folder / "grafana" / "password")
    keys = {
        "admin": (kept(folder / "admin" / "key"), ["admin"]),
        "processes": (kept(folder / "callers" / "knowledge.key"), ["admin"]),
        "prometheus": (kept(folder / "metrics" / "key"), ["operator"]),
    }
    tables = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "roles": roles}
        for name, (key, roles) in keys.items()
    ]
    # Keys that were added by hand stay.
    path = folder / "callers" / "keys.json"
    there = json.loads(path.read_text()) if path.exists() else []
    names = {table["name"] for table in tables}
    tables += [table for table in there if table["name"] not in names]
    write(path, json.dumps(tables, indent=2) + "\n")
    print(f"secrets are in {folder}; the admin's key is {folder}/admin/key")
    return 0


def kept(path: Path) -> str:
    """The secret in the file; a new one where there is none."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def write(path: Path, text: str) -> None:
    """The whole file or the one before. Only the volume's readers see it: each has its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o444)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
