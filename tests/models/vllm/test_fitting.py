"""Which models fit on which GPUs, and which comes first."""

from itertools import pairwise

import pytest

from models import fitting, gpus, open_models, sizing
from models.fitting import Need
from models.open_models import Format, Task

TABLE = open_models.load()


def fit(name: str, form: Format, sizes: str, need: Need) -> fitting.Fit:
    return fitting.fit(TABLE.named(name), form, gpus=gpus.parse_sizes(sizes), need=need)


def test_the_sum_is_weights_and_cache_and_reserve() -> None:
    one = fit("llama-3.1-8b", Format.BF16, "24GB", Need(context=8192, concurrency=4))
    assert one.weights == 16_060_522_496
    assert one.kv == 4 * 8192 * 131_072
    assert one.usable == 21_600_000_000
    assert one.spare == one.usable - one.weights - one.kv - one.reserve
    assert not one.fits
    said = fitting.why(one)
    assert "weights 16.1 GB (bf16) + KV cache 4.3 GB (4 x 8,192 tokens)" in said
    assert said.endswith("; 3 at once would fit")
    quantized = fit("llama-3.1-8b", Format.AWQ, "24GB", Need(context=8192, concurrency=4))
    assert quantized.fits
    assert quantized.requests(8192) >= 4


def test_two_gpus_share_weights_and_cache() -> None:
    need = Need(context=8192, concurrency=4)
    one, two = (fit("qwen3-32b", Format.AWQ, sizes, need) for sizes in ("24GB", "2x24GB"))
    assert (one.ways, two.ways) == (1, 2)
    assert two.weights == one.weights // 2
    assert two.kv == one.kv // 2
    assert not one.fits
    assert two.fits


def test_the_smallest_of_the_gpus_in_use_sets_the_pace() -> None:
    one = fit("llama-3.1-8b", Format.BF16, "80GB,24GB", Need(context=1024, concurrency=1))
    assert (one.taken, one.usable) == ((0,), 72_000_000_000)
    even = fit("llama-3.1-8b", Format.BF16, "30GB,24GB", Need(context=1024, concurrency=1))
    assert (even.taken, even.usable) == ((0, 1), 21_600_000_000)
    # 28 heads are not dealt out to three: the two largest are taken.
    three = fit("qwen2.5-7b", Format.BF16, "16GB,24GB,30GB", Need(context=1024, concurrency=1))
    assert (three.taken, three.usable) == ((1, 2), 21_600_000_000)


def test_the_longest_context_is_the_longest_that_fits() -> None:
    one = fit("llama-3.1-8b", Format.BF16, "80GB", Need(context=8192, concurrency=4))
    assert one.requests(one.longest) >= 4
    assert one.longest < one.model.context
    assert one.requests(one.longest + 1024) < 4
    assert fit("phi-4", Format.BF16, "80GB", Need(context=1024, concurrency=1)).longest == 16384


def test_the_format_of_the_least_loss_that_fits_is_taken() -> None:
    need = Need(context=8192, concurrency=2)
    model = TABLE.named("qwen3-14b")
    forms = [
        fitting.best_fit(model, gpus=gpus.parse_sizes(sizes), need=need).form
        for sizes in ("40GB", "24GB", "16GB")
    ]
    assert forms == [Format.BF16, Format.FP8, Format.AWQ]


@pytest.mark.parametrize("task", list(Task))
def test_what_fits_comes_first_then_the_latest_year_then_the_largest(task: Task) -> None:
    need = Need(context=8192, concurrency=2)
    fits = fitting.recommended(TABLE.model, task=task, gpus=gpus.parse_sizes("48GB"), need=need)
    assert {one.model.name for one in fits} == {
        one.name for one in TABLE.model if task in one.tasks
    }
    assert [one.fits for one in fits] == sorted((one.fits for one in fits), reverse=True)
    chosen = [one for one in fits if one.fits]
    years = [int(one.model.released[:4]) for one in chosen]
    assert years == sorted(years, reverse=True)
    for earlier, later in pairwise(chosen):
        if earlier.model.released[:4] == later.model.released[:4]:
            sizes = [sizing.parameters(one.model.shape) for one in (earlier, later)]
            first, second = (one.total * one.active for one in sizes)
            assert first >= second


def test_a_context_that_the_model_has_not_is_said() -> None:
    one = fit("gemma-2-9b", Format.BF16, "80GB", Need(context=16384, concurrency=1))
    assert not one.fits
    assert fitting.why(one) == "its context ends at 8,192 tokens"


def test_keys_and_values_in_8_bits_take_half() -> None:
    full, half = (
        fit("qwen3-8b", Format.AWQ, "24GB", Need(context=16384, concurrency=4, kv_element=element))
        for element in (2, 1)
    )
    assert half.kv * 2 == full.kv


def test_nothing_fits_on_a_toy() -> None:
    need = Need(context=8192, concurrency=4)
    fits = fitting.recommended(
        TABLE.model, task=Task.REASONING, gpus=gpus.parse_sizes("2GB"), need=need
    )
    assert not any(one.fits for one in fits)
    assert all("too much" in fitting.why(one) for one in fits)
