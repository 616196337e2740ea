"""What vLLM tells of itself, under all the names that it has used."""

from __future__ import annotations

import pytest

from models.vllm_metrics import Histogram, parse

NOW = """\
# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 15483.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m \\"quoted\\", 1"} 3.0
vllm:num_requests_running{engine="1",model_name="m \\"quoted\\", 1"} 4.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m \\"quoted\\", 1"} 2.0
vllm:num_requests_waiting{engine="1",model_name="m \\"quoted\\", 1"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 77.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 400.0
# TYPE vllm:prefix_cache_queries_created gauge
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 300.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="m"} 9.0
vllm:prompt_tokens_total{engine="0",model_name="m"} 500.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.25e+03
vllm:num_preemptions_total{engine="0",model_name="m"} 1.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 2.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5",model_name="m"} 6.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 8.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 8.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 2.4
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 8.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 0.8
"""
BEFORE = """\
vllm:num_requests_running{model_name="m"} 1.0
vllm:num_requests_waiting{model_name="m"} 0.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
vllm:gpu_prefix_cache_queries_total{model_name="m"} 10.0
vllm:gpu_prefix_cache_hits_total{model_name="m"} 5.0
vllm:time_per_output_token_seconds_sum{model_name="m"} 3.0
vllm:time_per_output_token_seconds_count{model_name="m"} 100.0
"""


def test_the_figures_of_all_engines_are_taken_together() -> None:
    found = parse(NOW)
    assert found is not None
    assert (found.running, found.waiting, found.kv_cache) == (7.0, 2.0, 0.75)
    assert (found.prefix_hits, found.prefix_queries) == (300.0, 400.0)
    assert found.prefix_hit_rate == 0.75
    assert (found.prompt_tokens, found.generation_tokens) == (500.0, 1250.0)
    assert found.preemptions == 1.0
    assert found.queue_time == Histogram(count=8.0, total=0.8)
    assert found.end_to_end is None


def test_older_names_are_read_too() -> None:
    found = parse(BEFORE)
    assert found is not None
    assert (found.running, found.waiting, found.kv_cache) == (1.0, 0.0, 0.5)
    assert found.prefix_hit_rate == 0.5
    assert found.inter_token is not None
    assert found.inter_token.mean == pytest.approx(0.03)


def test_one_of_several_served_models_can_be_asked_for() -> None:
    text = BEFORE + BEFORE.replace('"m"', '"other"')
    both, one, adapter = parse(text), parse(text, model="other"), parse(text, model="a-lora")
    assert both is not None
    assert one is not None
    assert (both.running, one.running) == (2.0, 1.0)
    assert adapter == both


def test_quantiles_lie_within_their_bucket() -> None:
    found = parse(NOW)
    assert found is not None
    first = found.first_token
    assert first is not None
    assert first.mean == pytest.approx(0.3)
    assert first.quantile(0.5) == pytest.approx(0.3)
    assert first.quantile(0.125) == pytest.approx(0.05)
    assert first.quantile(0.99) == 0.5
    assert Histogram(count=0, total=0).quantile(0.5) is None
    assert Histogram(count=0, total=0).mean is None


@pytest.mark.parametrize("text", ["", "<html>no</html>", "llamacpp:requests_processing 1\n"])
def test_what_is_no_vllm_has_no_figures(text: str) -> None:
    assert parse(text) is None


def test_figures_that_are_none_count_as_absent() -> None:
    text = BEFORE.replace('usage_perc{model_name="m"} 0.5', 'usage_perc{model_name="m"} NaN')
    found = parse(text)
    assert found is not None
    assert found.kv_cache is None
    with pytest.raises(ValueError, match="could not convert"):
        parse(BEFORE.replace("1.0", "one"))
