"""vLLM's own parser takes every command that we make for it."""

from __future__ import annotations

import json
import subprocess

import pytest

from models import gpus, open_models, vllm_flags
from models.vllm_flags import Lora, Wanted
from tests.models.vllm import serving

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(600)]

PARSES = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
for arguments in json.load(sys.stdin):
    parsed = parser.parse_args(arguments)
    if parsed.tool_call_parser:
        ToolParserManager.get_tool_parser(parsed.tool_call_parser)
    reasoning = parsed.reasoning_parser or parsed.structured_outputs_config.reasoning_parser
    if reasoning:
        ReasoningParserManager.get_reasoning_parser(reasoning)
print("all")
"""


def test_the_flags_and_the_parsers_of_every_model_exist() -> None:
    if not serving.made():
        pytest.skip("no vLLM here: run scripts/vllm-cpu")
    commands = []
    for model in open_models.load().model:
        for form, repo in model.checkpoints.items():
            wanted = Wanted(
                weights=repo,
                served_name=model.name,
                model=model,
                form=form,
                kv_cache="fp8",
                loras=[Lora(name="tax", path="/tax", rank=12)],
            )
            made = vllm_flags.command(wanted, gpus.parse_sizes("16x96GB"))
            commands.append(made.arguments[1:])
    own = Wanted(weights="/mine", served_name="mine", family="qwen3", quantization="fp8")
    for hardware in ([], gpus.parse_sizes("24GB")):
        commands.append(vllm_flags.command(own, hardware).arguments[1:])
    python = str(serving.program().with_name("python"))
    parsed = subprocess.run(
        [python, "-c", PARSES], input=json.dumps(commands), capture_output=True, text=True
    )
    assert parsed.stdout.strip().endswith("all"), parsed.stderr[-2000:]
