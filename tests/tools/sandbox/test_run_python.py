"""The tool that a model sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tools.run_python import CONTENT_LENGTH, RunPython, run_python, told, unavailable
from tools.sandbox.sandbox import Execution, Outcome, Sandbox
from tools.sandbox.scripted import ScriptedSandbox, failed, finished
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

CONTEXT = ToolContext(tenant="t", collection="c", run_id="r", call_id="1")


async def _call(tool: Tool, code: str) -> ToolResult:
    return await tool.call(RunPython(code=code), CONTEXT)


async def test_output_goes_to_the_model_and_the_facts_to_the_run() -> None:
    result = await _call(run_python(ScriptedSandbox([finished("4\n")])), "2 + 2")
    assert (result.ok, result.content) == (True, "4")
    assert dict(result.data) == {
        "code": "2 + 2",
        "stdout": "4\n",
        "outcome": "finished",
        "seconds": 0.0,
    }


async def test_an_error_is_told_and_is_not_ok() -> None:
    result = await _call(run_python(ScriptedSandbox([failed("NameError: x\n")])), "x")
    assert not result.ok
    assert result.content == "NameError: x\n[failed with exit code 1]"


async def test_silence_is_answered_with_advice() -> None:
    result = await _call(run_python(ScriptedSandbox([finished()])), "x = 1")
    assert "print()" in result.content


async def test_a_closed_sandbox_is_an_error_for_the_model() -> None:
    sandbox = ScriptedSandbox([])
    await sandbox.close()
    with pytest.raises(ToolError, match="closed"):
        await _call(run_python(sandbox), "1")


async def test_without_a_sandbox_nothing_runs_and_the_remedy_is_told() -> None:
    tool = unavailable("bwrap was not found", remedy="install bubblewrap")
    with pytest.raises(ToolError, match=r"bwrap was not found.*install bubblewrap"):
        await _call(tool, "1")


def test_both_variants_look_the_same_to_a_model() -> None:
    real, none = run_python(ScriptedSandbox([])), unavailable("why")
    assert real.schema() == none.schema()
    assert (real.name, real.effect) == ("run_python", Effect.READS)
    code = real.schema()["function"]["parameters"]["properties"]["code"]
    assert code["maxLength"] == 1500


def test_code_beyond_its_length_is_refused() -> None:
    with pytest.raises(ValidationError):
        RunPython(code="x" * 1501)


@given(st.text(), st.text(), st.integers(0, 5000), st.sampled_from(Outcome))
def test_what_the_model_reads_is_bounded(out: str, err: str, times: int, outcome: Outcome) -> None:
    execution = Execution(
        stdout=out * times, stderr=err * times, outcome=outcome, exit_code=1, seconds=1.0
    )
    assert 0 < len(told(execution)) <= CONTENT_LENGTH


def test_a_long_output_keeps_its_beginning_and_the_error_at_its_end() -> None:
    execution = failed("ValueError: the end\n", stdout="begin " + "x" * 9000)
    text = told(execution)
    assert text.startswith("begin ")
    assert "ValueError: the end" in text
    assert "left out" in text


async def test_the_real_sandbox_serves_the_tool(sandbox: Sandbox) -> None:
    result = await _call(run_python(sandbox), "sum(range(101))")
    assert (result.content, result.data["outcome"]) == ("5050", "finished")
