"""Real vLLM on the CPU, started as a person starts it: `counterpoint models serve`."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import numpy as np

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "vllm-cpu"
START_SECONDS = 900.0
KEY = "sk-vllm-of-the-test"
LAYERS, HIDDEN, KV = 24, 896, 128


def program() -> Path:
    """The `vllm` of `scripts/vllm-cpu`, whether it is there or not."""
    told = subprocess.run([SCRIPT, "where"], capture_output=True, text=True, check=True)
    return Path(told.stdout.strip())


def made() -> bool:
    """Whether `scripts/vllm-cpu` has made its environment."""
    return program().is_file()


def converted(gguf: Path) -> Path:
    """The weights as vLLM reads them, beside the GGUF file; made when first asked for."""
    folder = gguf.with_name(f"{gguf.stem}-bf16")
    if not folder.is_dir():
        subprocess.run([SCRIPT, "convert", gguf, folder], check=True, capture_output=True)
    return folder


def adapter(folder: Path, *, rank: int = 8) -> Path:
    """A LoRA adapter for the 0.5B model that changes nothing: its second matrices are zero."""
    folder.mkdir()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    header: dict[str, object] = {}
    body = bytearray()
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("v_proj", KV)):
            for half, shape in (("A", (rank, HIDDEN)), ("B", (width, rank))):
                raw = np.zeros(shape, dtype="<f2").tobytes()
                key = f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{half}.weight"
                offsets = [len(body), len(body) + len(raw)]
                header[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": offsets}
                body += raw
    head = json.dumps(header).encode()
    whole = struct.pack("<Q", len(head)) + head + bytes(body)
    (folder / "adapter_model.safetensors").write_bytes(whole)
    return folder


class Vllm:
    """One server at one address; ``start`` returns when it is ready."""

    def __init__(self, weights: Path, *, lora: Path) -> None:
        self._weights, self._lora = weights, lora
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.said: list[str] = []
        self._served: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._served = subprocess.Popen(
            [
                *(sys.executable, "-m", "server.cli", "models", "serve", str(self._weights)),
                *("--cpu", "--context", "4096", "--max-num-seqs", "4", "--served-name", "small"),
                *("--lora", f"unchanged={self._lora}", "--port", str(self.port)),
                *("--vllm", str(program())),
            ],
            cwd=ROOT,
            env={**os.environ, "COUNTERPOINT_MODEL_KEY": KEY, "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        late = threading.Timer(START_SECONDS, self._served.kill)
        late.start()
        assert self._served.stdout is not None
        for line in self._served.stdout:
            self.said.append(line)
            if line.startswith("ready: "):
                break
        else:
            late.cancel()
            self._served.stdout.close()
            self._served.wait()
            raise AssertionError("vLLM did not start:\n" + "".join(self.said[-30:]))
        late.cancel()
        # A full pipe would stop it.
        self._reader = threading.Thread(target=self._listen, args=(self._served.stdout,))
        self._reader.start()

    def pids(self) -> list[int]:
        """Of vLLM and its workers: the process group that it leads."""
        assert self._served is not None
        children = Path(f"/proc/{self._served.pid}/task/{self._served.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill(self) -> None:
        """As a crash would end it, its workers with it."""
        assert self._served is not None
        for pid in self.pids():
            os.killpg(pid, signal.SIGKILL)
        self._served.wait(60)
        self._reader.join()

    def close(self) -> int:
        """Ctrl-C; the exit code."""
        assert self._served is not None
        self._served.send_signal(signal.SIGINT)
        code = self._served.wait(60)
        self._reader.join()
        return code

    def _listen(self, output: IO[str]) -> None:
        with output:
            self.said.extend(output)
