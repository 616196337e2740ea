"""The process that holds the local model: llama.cpp's server, started over a pipe.

It runs by itself, because loading holds Python's interpreter lock for seconds and because
llama.cpp ends its process on an internal fault. One line of JSON in says what to load, one line
out says where it listens; when the pipe closes, the process ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import xllamacpp


def _parameters(order: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {order["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = order["port"]
    params.api_keys = [order["api_key"]]
    # llama.cpp splits one context among the slots.
    params.n_ctx = order["context"] * order["slots"]
    params.n_parallel = order["slots"]
    params.cpuparams.n_threads = order["threads"]
    params.cpuparams_batch.n_threads = order["threads"]
    params.use_jinja = True
    params.cache_prompt = True
    # Prompts of idle slots stay here, so roles that take turns keep their prefixes.
    params.cache_ram_mib = order["prompt_cache_mib"]
    params.verbosity = order["verbosity"]
    params.ui = False
    params.endpoint_slots = False
    params.fit_params = False
    return params


def main() -> int:
    order = json.loads(sys.stdin.readline())
    try:
        server = xllamacpp.Server(_parameters(order))
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"address": server.listening_address}), flush=True)
    sys.stdin.read()
    # Nothing is kept between runs, so no orderly end is needed, even in the middle of a reply.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
