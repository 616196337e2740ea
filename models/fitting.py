"""Which open models fit on given GPUs, and which of them to take. Pure: no IO."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models import sizing
from models.gpus import Gpu
from models.open_models import Format, OpenModel, Task

UTILIZATION = 0.9
"""The share of a GPU's memory that vLLM is given (``--gpu-memory-utilization``)."""

SEQUENCES = 256
"""Requests at once that a reserve is made for, vLLM's own default on most GPUs."""

CONTEXTS = {Task.CHAT: 8192, Task.CODE: 16384, Task.AGENTS: 16384, Task.REASONING: 16384}
"""Tokens of a request, its reply with it, where nobody says how many."""

_FIXED = 1_500_000_000
_BIG_GPU = 70 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Need:
    """``concurrency`` requests at once of ``context`` tokens, reply included.

    ``kv_element`` is bytes of one number in the KV cache: 2, or 1 with ``--kv-cache-dtype fp8``.
    """

    context: int
    concurrency: int
    kv_element: int = 2


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a model in a format needs on each of the GPUs ``taken``, in bytes.

    ``taken`` are places in the list of GPUs; ``usable`` is what vLLM may use of one, ``reserve``
    is for activations, CUDA and its graphs.
    """

    model: OpenModel
    form: Format
    need: Need
    taken: tuple[int, ...]
    usable: int
    weights: int
    kv: int
    reserve: int

    @property
    def ways(self) -> int:
        """How many GPUs share the model."""
        return len(self.taken)

    @property
    def repo(self) -> str:
        return self.model.checkpoints[self.form]

    @property
    def spare(self) -> int:
        """What is left; below zero: what is missing."""
        return self.usable - self.weights - self.kv - self.reserve

    @property
    def fits(self) -> bool:
        return self.spare >= 0 and self.need.context <= self.model.context

    @property
    def kv_room(self) -> int:
        """Bytes for the KV cache on one GPU."""
        return max(0, self.usable - self.weights - self.reserve)

    def requests(self, context: int) -> int:
        """How many requests of ``context`` tokens the KV cache holds."""
        each = sizing.kv_bytes(self.model.shape, context=context, element=self.need.kv_element)
        return self.kv_room * sizing.kv_share(self.model.shape, self.ways) // each

    @property
    def longest(self) -> int:
        """The longest context, in steps of 1,024 tokens, at the wanted concurrency."""
        low, high = 0, self.model.context // 1024
        while low < high:
            middle = (low + high + 1) // 2
            if self.requests(middle * 1024) >= self.need.concurrency:
                low = middle
            else:
                high = middle - 1
        return low * 1024


def fit(model: OpenModel, form: Format, *, gpus: Sequence[Gpu], need: Need) -> Fit:
    """Over those GPUs that together offer most: the smallest of them sets the pace of all, and
    the model's heads have to be dealt out evenly.
    """
    largest = sorted(range(len(gpus)), key=lambda place: -gpus[place].memory)
    ways = max(
        sizing.ways_to_share(model.shape, len(gpus)),
        key=lambda count: count * gpus[largest[count - 1]].memory,
    )
    taken = tuple(sorted(largest[:ways]))
    smallest = min(gpus[place].memory for place in taken)
    shape = model.shape
    kv = sizing.kv_bytes(shape, context=need.context, element=need.kv_element)
    return Fit(
        model=model,
        form=form,
        need=need,
        taken=taken,
        usable=int(smallest * UTILIZATION),
        weights=sizing.weight_bytes(shape, form) // ways,
        kv=kv * need.concurrency // sizing.kv_share(shape, ways),
        reserve=_reserve(model, ways=ways, memory=smallest),
    )


def best_fit(model: OpenModel, *, gpus: Sequence[Gpu], need: Need) -> Fit:
    """In the format of the least loss that fits; where none does, the one that lacks least."""
    fits = [fit(model, form, gpus=gpus, need=need) for form in model.checkpoints]
    return next((one for one in fits if one.fits), max(fits, key=lambda one: one.spare))


def recommended(
    models: Iterable[OpenModel], *, task: Task, gpus: Sequence[Gpu], need: Need
) -> list[Fit]:
    """Models for the task: those that fit first, of the latest year first, then the largest.

    The size of a mixture of experts counts as the geometric mean of all and of active parameters.
    """
    fits = [best_fit(model, gpus=gpus, need=need) for model in models if task in model.tasks]

    def order(one: Fit) -> tuple[bool, int, float]:
        counted = sizing.parameters(one.model.shape)
        year = int(one.model.released[:4])
        return (not one.fits, -year, -math.sqrt(counted.total * counted.active))

    return sorted(fits, key=order)


def why(one: Fit) -> str:
    """The arithmetic in one sentence."""
    need = one.need
    each = "" if one.ways == 1 else " on each GPU"
    total = one.weights + one.kv + one.reserve
    sum_ = (
        f"weights {_gb(one.weights)} ({one.form.value}) + KV cache {_gb(one.kv)} "
        f"({need.concurrency} x {need.context:,} tokens) + reserve {_gb(one.reserve)} "
        f"= {_gb(total)} of {_gb(one.usable)} usable{each}"
    )
    if need.context > one.model.context:
        return f"its context ends at {one.model.context:,} tokens"
    if one.fits:
        return sum_
    held = one.requests(need.context)
    less = f"; {held} at once would fit" if held else ""
    return f"{_gb(-one.spare)} too much{each}: {sum_}{less}"


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _reserve(model: OpenModel, *, ways: int, memory: int) -> int:
    """CUDA's context, graphs and NCCL; the activations of one batch; the logits of all requests."""
    shape = model.shape
    tokens = 8192 if memory >= _BIG_GPU else 2048
    ffn = max(shape.active_experts, 1) * shape.ffn + shape.shared_ffn
    activations = tokens * 2 * (4 * shape.hidden + 2 * ffn // ways)
    logits = SEQUENCES * shape.vocabulary * 4 * 2
    return _FIXED + activations + logits
