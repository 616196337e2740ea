"""Memory computed from a model's shape, held to what is published of it."""

import pytest

from models import open_models, sizing
from models.errors import UnknownModel
from models.open_models import Format, OpenModel, Shape

TABLE = open_models.load()
GIB = 1024**3


@pytest.mark.parametrize(
    "model", [one for one in TABLE.model if one.published_bytes], ids=lambda one: one.name
)
def test_the_weights_of_a_shape_are_as_large_as_those_published(model: OpenModel) -> None:
    assert sizing.weight_bytes(model.shape, model.native) == model.published_bytes


def test_most_of_the_table_is_held_to_a_published_size() -> None:
    published = [one for one in TABLE.model if one.published_bytes]
    assert len(published) > 30
    assert len(TABLE.model) - len(published) < 4


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("deepseek-r1", 671_026_419_200, 37.5e9),
        ("mixtral-8x7b", 46_702_792_704, 12.9e9),
        ("qwen3-30b-a3b", 30_532_122_624, 3.3e9),
        ("gpt-oss-120b", 116_829_156_672, 5.7e9),
        ("gemma-2-27b", 27_227_128_320, 27.2e9),
        ("phi-4", 14_659_507_200, 14.7e9),
    ],
)
def test_parameters_all_and_active(name: str, total: int, active: float) -> None:
    counted = sizing.parameters(TABLE.named(name).shape)
    assert counted.total == total
    assert counted.active == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize(
    ("name", "form", "published"),
    [
        # Sizes of the repositories' weights in GB; Qwen pads the 72B's layers a little.
        ("qwen2.5-72b", Format.AWQ, 41.6e9),
        ("qwen2.5-7b", Format.AWQ, 5.57e9),
        ("gpt-oss-120b", Format.MXFP4, 65.25e9),
        ("llama-3.1-70b", Format.FP8, 72.7e9),
    ],
)
def test_quantized_weights_are_close_to_those_published(
    name: str, form: Format, published: float
) -> None:
    computed = sizing.weight_bytes(TABLE.named(name).shape, form)
    assert computed == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(
    ("name", "a_token"),
    [
        ("llama-3.1-8b", 2 * 32 * 8 * 128 * 2),
        ("llama-3.1-70b", 327_680),
        ("mistral-7b", 131_072),
        ("qwen2.5-7b", 57_344),
        ("qwen3-30b-a3b", 98_304),
        # 61 layers keep one vector of 512 + 64 numbers each, not 128 heads.
        ("deepseek-r1", 61 * 576 * 2),
    ],
)
def test_the_kv_cache_grows_by_the_key_and_value_heads(name: str, a_token: int) -> None:
    shape = TABLE.named(name).shape
    assert sizing.kv_bytes(shape, context=1) == a_token
    assert sizing.kv_bytes(shape, context=8192) == 8192 * a_token
    assert sizing.kv_bytes(shape, context=8192, element=1) == 4096 * a_token


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    shape = TABLE.named("gemma-3-27b").shape
    each = 2 * 16 * 128 * 2
    assert sizing.kv_bytes(shape, context=1024) == 62 * 1024 * each
    assert sizing.kv_bytes(shape, context=32768) == (10 * 32768 + 52 * 1024) * each


def test_the_cache_is_dealt_out_by_heads_and_copied_beyond_them() -> None:
    llama, deepseek = TABLE.named("llama-3.1-8b").shape, TABLE.named("deepseek-r1").shape
    assert [sizing.kv_share(llama, ways) for ways in (1, 2, 8, 16)] == [1, 2, 8, 8]
    assert sizing.kv_share(deepseek, 8) == 1


def test_a_model_is_shared_among_as_many_gpus_as_divide_its_heads() -> None:
    qwen = TABLE.named("qwen2.5-7b").shape  # 28 heads, 4 of keys and values
    assert sizing.ways_to_share(qwen, 8) == [4, 2, 1]
    phi = TABLE.named("phi-4").shape  # 40 heads, 10 of keys and values
    assert sizing.ways_to_share(phi, 4) == [2, 1]
    assert sizing.ways_to_share(TABLE.named("deepseek-r1").shape, 8)[0] == 8


def test_a_shape_is_what_its_fields_say() -> None:
    tiny = Shape(
        hidden=8, layers=1, heads=2, kv_heads=1, head_dim=4, ffn=16, vocabulary=10, tied=True
    )
    # Embeddings 80, attention 8*8 + 2*8*4 + 8*8, feed-forward 3*8*16, norms 2*8 and 8.
    assert sizing.parameters(tiny).total == 80 + 192 + 384 + 16 + 8


def test_models_are_found_by_name_and_by_any_of_their_repositories() -> None:
    found = TABLE.find("qwen/qwen3-8b-AWQ")
    assert found is not None
    assert (found[0].name, found[1]) == ("qwen3-8b", Format.AWQ)
    assert TABLE.find("nobody/nothing") is None
    with pytest.raises(UnknownModel, match=r"known: llama-3\.1-8b"):
        TABLE.named("nothing")


def test_names_and_repositories_are_each_there_once() -> None:
    repos = [repo for one in TABLE.model for repo in one.checkpoints.values()]
    assert len(set(TABLE.names)) == len(TABLE.names) > 30
    assert len(set(repos)) == len(repos)
    assert all(one.tasks for one in TABLE.model)
