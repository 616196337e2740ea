"""The command for each family of models, on GPUs and without."""

import shlex
from dataclasses import replace
from typing import Any

import pytest

from models import gpus, open_models, vllm_flags
from models.gpus import Gpu
from models.open_models import Format
from models.vllm_flags import CannotServe, Command, Lora, Wanted

TABLE = open_models.load()
H100 = [Gpu(name="H100", memory=81559 * 1024**2, capability=9.0)]
T4 = [Gpu(name="T4", memory=15360 * 1024**2, capability=7.5)]


def wanted(name: str, form: Format | None = None, **more: Any) -> Wanted:
    model = TABLE.named(name)
    form = form or model.native
    given = {"weights": model.checkpoints[form], "served_name": name, **more}
    return Wanted(model=model, form=form, **given)


def flag(command: Command, name: str) -> str | None:
    """The value behind a flag; None where it is absent."""
    arguments = command.arguments
    return arguments[arguments.index(name) + 1] if name in arguments else None


@pytest.mark.parametrize(
    ("name", "tool", "reasoning"),
    [
        ("llama-3.1-8b", "llama3_json", None),
        ("llama-3.2-3b", "llama3_json", None),
        ("mistral-7b", "mistral", None),
        ("qwen2.5-7b", "hermes", None),
        ("qwen3-8b", "hermes", "qwen3"),
        ("qwen3-coder-30b-a3b", "qwen3_coder", None),
        ("gpt-oss-20b", "openai", "openai_gptoss"),
        ("gemma-2-9b", None, None),
        ("gemma-3-12b", None, None),
        ("phi-4", None, None),
        ("deepseek-r1-distill-llama-8b", None, "deepseek_r1"),
    ],
)
def test_each_family_has_its_parsers(name: str, tool: str | None, reasoning: str | None) -> None:
    command = vllm_flags.command(wanted(name), H100)
    assert flag(command, "--tool-call-parser") == tool
    assert ("--enable-auto-tool-choice" in command.arguments) is (tool is not None)
    assert flag(command, "--reasoning-parser") == reasoning
    assert any("constrained" in note for note in command.notes) is (tool is None)
    assert "--enable-prefix-caching" in command.arguments


def test_a_model_on_one_gpu() -> None:
    command = vllm_flags.command(wanted("llama-3.1-8b"), H100)
    assert command.arguments == (
        *("serve", "meta-llama/Llama-3.1-8B-Instruct", "--served-model-name", "llama-3.1-8b"),
        *("--host", "127.0.0.1", "--port", "8000", "--gpu-memory-utilization", "0.9"),
        *("--max-model-len", "32768", "--max-num-seqs", "54", "--enable-prefix-caching"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "llama3_json"),
    )
    assert command.environment == {"VLLM_NO_USAGE_STATS": "1"}


def test_gpus_share_the_model_as_its_heads_allow() -> None:
    command = vllm_flags.command(wanted("llama-3.3-70b"), gpus.parse_sizes("4x80GB"))
    assert flag(command, "--tensor-parallel-size") == "4"
    three = vllm_flags.command(wanted("llama-3.1-8b"), gpus.parse_sizes("3x24GB"))
    assert flag(three, "--tensor-parallel-size") == "2"
    assert any("2 of 3 GPUs" in note for note in three.notes)
    assert three.environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    uneven = vllm_flags.command(wanted("llama-3.1-8b"), gpus.parse_sizes("8GB,80GB"))
    assert flag(uneven, "--tensor-parallel-size") is None
    assert uneven.environment["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_context_is_shortened_until_it_fits_and_one_that_was_asked_for_is_not() -> None:
    small = gpus.parse_sizes("22GB")
    assert flag(vllm_flags.command(wanted("llama-3.1-8b"), small), "--max-model-len") == "8192"
    with pytest.raises(CannotServe, match=r"lacks \d+\.\d GB"):
        vllm_flags.command(wanted("llama-3.1-8b", context=16384), small)
    with pytest.raises(CannotServe, match="ends at 8192 tokens"):
        vllm_flags.command(wanted("gemma-2-9b", context=16384), H100)
    with pytest.raises(CannotServe, match="recommend"):
        vllm_flags.command(wanted("llama-3.3-70b"), small)


@pytest.mark.parametrize("form", [Format.AWQ, Format.GPTQ])
def test_quantized_weights_say_themselves_how_they_are_read(form: Format) -> None:
    command = vllm_flags.command(wanted("qwen2.5-32b", form), gpus.parse_sizes("32GB"))
    assert command.arguments[1] == TABLE.named("qwen2.5-32b").variants[form]
    # Named outright, vLLM would take the slower kernels instead of Marlin's.
    assert "--quantization" not in command.arguments


def test_fp8_is_made_of_bfloat16_where_it_is_asked_for() -> None:
    one = wanted("gemma-2-27b", quantization="fp8")
    command = vllm_flags.command(one, gpus.parse_sizes("40GB"))
    assert flag(command, "--quantization") == "fp8"
    with pytest.raises(CannotServe):
        vllm_flags.command(wanted("gemma-2-27b"), gpus.parse_sizes("40GB"))


def test_an_old_gpu_has_no_bfloat16() -> None:
    command = vllm_flags.command(wanted("qwen3-4b"), T4)
    assert flag(command, "--dtype") == "half"
    assert any("7.5" in note for note in command.notes)
    assert flag(vllm_flags.command(wanted("qwen3-4b"), H100), "--dtype") is None


def test_mistrals_own_format_is_for_its_own_weights() -> None:
    own = vllm_flags.command(wanted("mistral-small-24b"), H100)
    for name in ("--tokenizer-mode", "--config-format", "--load-format"):
        assert flag(own, name) == "mistral"
    others = vllm_flags.command(wanted("mistral-small-24b", Format.AWQ), H100)
    assert "--tokenizer-mode" not in others.arguments


def test_adapters_are_loaded_with_room_for_the_highest_rank() -> None:
    loras = [Lora(name="legal", path="/l", rank=8), Lora(name="tax", path="/t", rank=48)]
    command = vllm_flags.command(wanted("llama-3.1-8b", loras=loras), H100)
    assert command.arguments[-7:] == (
        *("--max-loras", "2", "--max-lora-rank", "64", "--lora-modules", "legal=/l", "tax=/t"),
    )
    with pytest.raises(CannotServe, match="rank 1024"):
        vllm_flags.command(wanted("llama-3.1-8b", loras=[Lora(name="x", path="/x", rank=1024)]), [])


def test_without_a_gpu_it_runs_on_the_cpu() -> None:
    command = vllm_flags.command(wanted("qwen2.5-coder-0.5b"), [])
    assert flag(command, "--dtype") == "bfloat16"
    assert "--enforce-eager" in command.arguments
    assert flag(command, "--max-model-len") == "8192"
    assert "--gpu-memory-utilization" not in command.arguments
    assert command.environment["VLLM_CPU_KVCACHE_SPACE"] == "1"
    with pytest.raises(CannotServe, match="need a GPU"):
        vllm_flags.command(wanted("gpt-oss-20b"), [])


def test_a_model_of_ones_own_is_served_as_its_family() -> None:
    mine = Wanted(weights="/models/mine", served_name="mine", family="qwen3")
    command = vllm_flags.command(mine, gpus.parse_sizes("2x24GB"))
    assert flag(command, "--tool-call-parser") == "hermes"
    assert flag(command, "--reasoning-parser") == "qwen3"
    assert flag(command, "--tensor-parallel-size") == "2"
    assert "--max-model-len" not in command.arguments
    named = replace(mine, tool_parser="pythonic", reasoning_parser="step3")
    command = vllm_flags.command(named, H100)
    assert flag(command, "--tool-call-parser") == "pythonic"
    assert flag(command, "--reasoning-parser") == "step3"


def test_others_get_in_only_with_a_key() -> None:
    with pytest.raises(CannotServe, match="COUNTERPOINT_MODEL_KEY"):
        vllm_flags.command(wanted("qwen3-8b", host="0.0.0.0"), H100)
    keyed = wanted("qwen3-8b", host="0.0.0.0", keyed=True)
    assert flag(vllm_flags.command(keyed, H100), "--host") == "0.0.0.0"


def test_offline_means_the_hub_is_not_asked() -> None:
    command = vllm_flags.command(wanted("qwen3-8b", offline=True), H100)
    assert command.environment["HF_HUB_OFFLINE"] == "1"


def test_the_shell_form_is_one_line_without_the_key() -> None:
    command = vllm_flags.command(wanted("qwen2.5-coder-0.5b", context=4096), [])
    line = vllm_flags.shell_form(command, keyed=True)
    variables, _, rest = line.partition(" vllm ")
    assert 'VLLM_API_KEY="$COUNTERPOINT_MODEL_KEY"' in variables
    assert shlex.split(rest) == list(command.arguments)


def test_the_docker_form_publishes_the_port_on_the_host_alone() -> None:
    mine = Wanted(
        weights="/models/mine",
        served_name="mine",
        port=8123,
        loras=[Lora(name="tax", path="/adapters/tax")],
    )
    command = vllm_flags.command(mine, H100)
    line = vllm_flags.docker_form(command, keyed=True, host="127.0.0.1", port=8123, gpus=True)
    words = shlex.split(line)
    assert words[:6] == ["docker", "run", "--rm", "--ipc=host", "--gpus", "all"]
    assert words[words.index("-p") + 1] == "127.0.0.1:8123:8123"
    assert "/models/mine:/models/mine:ro" in words
    assert "/adapters/tax:/adapters/tax:ro" in words
    inside = words[words.index(vllm_flags.IMAGE) + 1 :]
    assert inside[0] == "/models/mine"
    assert inside[inside.index("--host") + 1] == "0.0.0.0"
