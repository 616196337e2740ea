"""Weights of a GGUF file as a folder of safetensors in bfloat16, which vLLM reads.

Runs in the environment that `scripts/vllm-cpu` makes: it needs transformers, torch and gguf.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def convert(source: Path, folder: Path) -> None:
    """Write ``folder`` whole, or not at all."""
    # Imported here: without arguments the usage comes at once.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        # They are quantized no more, and may be saved.
        model.hf_quantizer = None
        model.config.__dict__.pop("quantization_config", None)
        model.save_pretrained(unfinished)
        AutoTokenizer.from_pretrained(**where).save_pretrained(unfinished)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: gguf_to_safetensors.py GGUF FOLDER")
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    if not source.is_file():
        sys.exit(f"{source}: no such file")
    if folder.exists():
        sys.exit(f"{folder}: is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    convert(source, folder)


if __name__ == "__main__":
    main()
