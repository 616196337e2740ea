"""The program with an embedder that needs no weights; everything else is the real thing."""

from __future__ import annotations

import functools

from models.embedder import HashedEmbedder
from server import cli, house


def main() -> None:
    house.open_house = functools.partial(house.open_house, embedder=HashedEmbedder())
    cli.main()


if __name__ == "__main__":
    main()
