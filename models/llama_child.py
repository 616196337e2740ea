"""The process that holds the local model: llama.cpp's server, started over a pipe.

It runs by itself, because loading holds Python's interpreter lock for seconds and because
llama.cpp ends its process on an internal fault. One line of JSON in says what to load, one line
out says where it listens; when the pipe closes, the process ends.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def _parameters(llama: Any, order: dict[str, Any]) -> Any:
    params = llama.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {order["alias"]}
    params.hostnames = [order["host"]]
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
    # llama.cpp prints as it likes; the wire is for the two lines alone.
    wire = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = json.loads(sys.stdin.readline())
    # Threads that wait by spinning take the cores from those they wait for: on busy cores the
    # model wrote 0.6 tokens a second, and 16 without. Read once, when the library is loaded.
    os.putenv("OMP_WAIT_POLICY", "passive")
    try:
        llama = importlib.import_module("xllamacpp")
        server = llama.Server(_parameters(llama, order))
    except (ImportError, RuntimeError) as error:
        print(json.dumps({"error": str(error)}), file=wire, flush=True)
        return 1
    print(json.dumps({"address": server.listening_address}), file=wire, flush=True)
    sys.stdin.read()
    # Nothing is kept between runs, so no orderly end is needed, even in the middle of a reply.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
