"""What a model needs of memory: its weights and its KV cache, from its shape. Pure: no IO."""

from __future__ import annotations

from dataclasses import dataclass

from models.open_models import Format, Shape

BITS = {
    Format.BF16: 16.0,
    Format.FP8: 8.0,
    # Groups of 128 weights share a 16-bit scale, and a 4-bit zero unless they are symmetrical.
    Format.AWQ: 4 + (16 + 4) / 128,
    Format.GPTQ: 4 + (16 + 4) / 128,
    Format.W4A16: 4 + 16 / 128,
    # Blocks of 32 share an 8-bit exponent.
    Format.MXFP4: 4 + 8 / 32,
}
"""Bits of one quantized weight with its share of the scales."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How many parameters there are, by what a quantization does to them.

    ``attention`` and ``ffn`` are matrices of the layers; ``experts`` those of all experts, of
    which ``active_experts`` are read for a token; ``other`` is what stays in 16 bits: embeddings,
    output head, norms, biases, routers, a vision tower.
    """

    attention: int
    ffn: int
    experts: int
    active_experts: int
    other: int

    @property
    def total(self) -> int:
        return self.attention + self.ffn + self.experts + self.other

    @property
    def active(self) -> int:
        """Those that one token meets."""
        return self.total - self.experts + self.active_experts


def parameters(shape: Shape) -> Parameters:
    """Counted from the shape alone."""
    expert_layers = shape.layers - shape.dense_layers if shape.experts else 0
    plain_layers = shape.layers - expert_layers
    one_expert = 3 * shape.hidden * shape.ffn
    plain_ffn = shape.dense_ffn or shape.ffn
    return Parameters(
        attention=shape.layers * _attention(shape),
        ffn=3 * shape.hidden * (plain_layers * plain_ffn + expert_layers * shape.shared_ffn),
        experts=expert_layers * shape.experts * one_expert,
        active_experts=expert_layers * shape.active_experts * one_expert,
        other=_embeddings(shape)
        + shape.layers * _small_parts(shape)
        + expert_layers * _routing(shape)
        + shape.hidden
        + shape.beside,
    )


def weight_bytes(shape: Shape, form: Format) -> int:
    """Bytes of all weights as stored in ``form``; MXFP4 quantizes the experts alone."""
    counted = parameters(shape)
    if form is Format.MXFP4:
        quantized = counted.experts
    else:
        quantized = counted.attention + counted.ffn + counted.experts
    return round(quantized * BITS[form] / 8) + 2 * (counted.total - quantized)


def kv_bytes_per_token(shape: Shape, *, element: int = 2) -> int:
    """Bytes that one token adds to the KV cache in a layer without window; ``element`` of each."""
    if shape.latent is not None:
        # One compressed vector stands for keys and values of all heads.
        return (shape.latent.kv + shape.latent.rope) * element
    return 2 * shape.kv_heads * shape.head_dim * element


def kv_bytes(shape: Shape, *, context: int, element: int = 2) -> int:
    """Bytes of the KV cache of one request of ``context`` tokens; a window caps its layers."""
    full = shape.layers - shape.windowed_layers
    windowed = min(context, shape.window or context)
    tokens = full * context + shape.windowed_layers * windowed
    return tokens * kv_bytes_per_token(shape, element=element)


def kv_share(shape: Shape, ways: int) -> int:
    """By how much the KV cache of one GPU shrinks when ``ways`` GPUs share the model.

    Heads are dealt out; with more GPUs than heads they are copied, and a latent always is.
    """
    return 1 if shape.latent is not None else min(ways, shape.kv_heads)


def ways_to_share(shape: Shape, gpus: int) -> list[int]:
    """Sizes of tensor parallelism that the shape allows on so many GPUs, the largest first."""

    def allowed(ways: int) -> bool:
        fits_kv = shape.kv_heads % ways == 0 or ways % shape.kv_heads == 0
        return shape.heads % ways == 0 and (shape.latent is not None or fits_kv)

    return [ways for ways in range(gpus, 0, -1) if allowed(ways)]


def _embeddings(shape: Shape) -> int:
    return shape.vocabulary * shape.hidden * (1 if shape.tied else 2)


def _attention(shape: Shape) -> int:
    if (latent := shape.latent) is None:
        return shape.hidden * shape.head_dim * 2 * (shape.heads + shape.kv_heads)
    queries = shape.heads * (latent.nope + latent.rope)
    query = latent.query * (shape.hidden + queries) if latent.query else shape.hidden * queries
    return (
        query
        + shape.hidden * (latent.kv + latent.rope)
        + latent.kv * shape.heads * (latent.nope + latent.value)
        + shape.heads * latent.value * shape.hidden
    )


def _small_parts(shape: Shape) -> int:
    """Norms and biases of one layer."""
    count = shape.norms * shape.hidden
    if shape.latent is not None:
        count += shape.latent.kv + shape.latent.query
    if shape.qk_norm:
        count += 2 * shape.head_dim
    if shape.qkv_bias:
        count += (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    if shape.other_biases:
        count += shape.hidden
    if shape.sinks:
        count += shape.heads
    return count


def _routing(shape: Shape) -> int:
    """Routers, and biases of router and experts, in one layer."""
    count = shape.hidden * shape.experts
    if shape.other_biases:
        count += shape.experts * (1 + 2 * shape.ffn + shape.hidden)
    if shape.router_bias:
        count += shape.experts
    return count
