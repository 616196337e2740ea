"""The tool that a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tools.artifacts import MemoryArtifacts
from tools.run_python import (
    CODE_LENGTH,
    CONTENT_LENGTH,
    FILE_BYTES,
    RunPython,
    run_python,
    told,
    unavailable,
)
from tools.sandbox.sandbox import Execution, Outcome, Output, OutputKind, Sandbox
from tools.sandbox.scripted import ScriptedSandbox, Step, failed, finished
from tools.sandbox.threads import ThreadSessions
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult
from tools.uploads import MemoryUploads

CONTEXT = ToolContext(tenant="t", collection="c", run_id="r", call_id="1")


def _tool(steps: Sequence[Execution | Step]) -> Tool:
    return run_python(ThreadSessions(ScriptedSandbox(steps)))


async def _call(tool: Tool, code: str) -> ToolResult:
    return await tool.call(RunPython(code=code), CONTEXT)


async def test_output_goes_to_the_model_and_the_facts_to_the_run() -> None:
    result = await _call(_tool([finished("4\n")]), "2 + 2")
    assert (result.ok, result.content) == (True, "4")
    assert dict(result.data) == {
        "code": "2 + 2",
        "stdout": "4\n",
        "printed": "4",
        "outcome": "finished",
        "seconds": 0.0,
        "outputs": [],
        "files": [],
    }


async def test_figures_and_files_are_kept_as_artifacts_and_named_to_the_model() -> None:
    figure = Output(kind=OutputKind.DISPLAY, text="<Figure>", png=b"png", html="<b>1</b>")
    step = Step(
        execution=finished(outputs=(figure,)), files={"out/a.csv": b"a,b", "big": bytes(FILE_BYTES)}
    )
    artifacts = MemoryArtifacts(limit=100)
    sessions = ThreadSessions(ScriptedSandbox([step]))
    result = await _call(run_python(sessions, artifacts=artifacts), "plot()")
    assert result.content == (
        "[figure shown to the user: png]\n[files written: big, out/a.csv]\n"
        "[not kept for the user: big: 16,777,216 bytes: 100 at most]"
    )
    (output,) = result.data["outputs"]
    assert [(one["name"], one["media_type"], one["bytes"]) for one in output["artifacts"]] == [
        ("figure-8f8cbb7d.png", "image/png", 3),
        ("table-db149029.html", "text/html", 8),
    ]
    big, small = result.data["files"]
    assert (big["name"], big["left_out"]) == ("big", "16,777,216 bytes: 100 at most")
    assert artifacts.kept[small["sha256"]] == b"a,b"


async def test_a_thread_keeps_its_files_and_another_has_none_of_them(sandbox: Sandbox) -> None:
    tool = run_python(ThreadSessions(sandbox))
    mine, other = (replace(CONTEXT, thread_id=name) for name in ("mine", "other"))
    await tool.call(RunPython(code="n = open('a', 'w').write('1')"), mine)
    look = RunPython(code="import os; os.listdir()")
    assert (await tool.call(look, mine)).content == "['a']"
    assert (await tool.call(look, other)).content == "[]"


async def test_the_model_is_told_when_its_variables_are_gone(sandbox: Sandbox) -> None:
    tool = run_python(ThreadSessions(sandbox))
    crashed = await _call(tool, "import os; os._exit(1)")
    assert crashed.content == (
        "[the process was killed or crashed] [all variables are gone, files are there]"
    )
    assert (await _call(tool, "1")).content == "1"


async def test_a_kernel_that_follows_one_has_written_nothing_of_what_was_there(
    sandbox: Sandbox,
) -> None:
    given = MemoryUploads({("t", "mine"): {"given.csv": b"1"}})
    tool = run_python(ThreadSessions(sandbox), uploads=given)
    mine = replace(CONTEXT, thread_id="mine")
    await tool.call(RunPython(code="n = open('own.txt', 'w').write('1')"), mine)
    await tool.call(RunPython(code="import os; os._exit(1)"), mine)
    after = await tool.call(RunPython(code="n = open('new.txt', 'w').write('1')"), mine)
    assert (
        after.content
        == "[files written: new.txt]\n[not kept for the user: new.txt: 1 bytes: 0 at most]"
    )


async def test_an_error_with_half_a_character_can_be_stored(sandbox: Sandbox) -> None:
    tool = run_python(ThreadSessions(sandbox))
    result = await _call(tool, "import os; open(os.fsdecode(b'caf\\xe9.csv'))")
    assert "'caf\\udce9.csv'" in result.content
    assert orjson.loads(orjson.dumps(result.content)) == result.content


async def test_what_code_leaves_with_is_told(sandbox: Sandbox) -> None:
    left = await _call(run_python(ThreadSessions(sandbox)), "import sys; sys.exit('no rows left')")
    assert left.content == "no rows left\n[failed with exit code 1]"


async def test_an_error_is_told_and_is_not_ok() -> None:
    result = await _call(_tool([failed("NameError: x\n")]), "x")
    assert not result.ok
    assert result.content == "NameError: x\n[failed with exit code 1]"


async def test_silence_is_answered_with_advice() -> None:
    result = await _call(_tool([finished()]), "x = 1")
    assert "print()" in result.content


async def test_a_closed_sandbox_is_an_error_for_the_model() -> None:
    sandbox = ScriptedSandbox([])
    await sandbox.close()
    with pytest.raises(ToolError, match="closed"):
        await _call(run_python(ThreadSessions(sandbox)), "1")


async def test_without_a_sandbox_nothing_runs_and_the_remedy_is_told() -> None:
    tool = unavailable("bwrap was not found", remedy="install bubblewrap")
    with pytest.raises(ToolError, match=r"bwrap was not found.*install bubblewrap"):
        await _call(tool, "1")


def test_both_variants_look_the_same_to_a_model() -> None:
    real, none = _tool([]), unavailable("why")
    assert real.schema() == none.schema()
    assert (real.name, real.effect) == ("run_python", Effect.READS)
    code = real.schema()["function"]["parameters"]["properties"]["code"]
    assert code["maxLength"] == CODE_LENGTH


def test_code_beyond_its_length_is_refused() -> None:
    with pytest.raises(ValidationError):
        RunPython(code="x" * (CODE_LENGTH + 1))


@given(st.text(), st.text(), st.integers(0, 5000), st.sampled_from(Outcome))
def test_what_the_model_reads_is_bounded(out: str, err: str, times: int, outcome: Outcome) -> None:
    execution = Execution(
        stdout=out * times, stderr=err * times, outcome=outcome, exit_code=1, seconds=1.0
    )
    assert 0 < len(told(execution)) <= CONTENT_LENGTH


@given(st.integers(1, 3000), st.text(max_size=40))
def test_what_the_model_reads_is_bounded_whatever_is_to_be_noted(times: int, word: str) -> None:
    execution = finished("x" * 9000)
    read = told(execution, before=(word + "\n") * times, after=word * times)
    assert len(read) <= CONTENT_LENGTH


@given(st.lists(st.integers(10**5, 10**9), min_size=400, max_size=500))
def test_no_number_is_cut_in_two(numbers: list[int]) -> None:
    read = told(finished(" ".join(map(str, numbers)))).partition("\n[...")
    left = read[2].rpartition("...]\n")[2]
    assert {int(one) for one in (read[0] + " " + left).split()} <= set(numbers)


def test_a_long_output_keeps_its_beginning_and_the_error_at_its_end() -> None:
    execution = failed("ValueError: the end\n", stdout="begin " + "x" * 9000)
    text = told(execution)
    assert text.startswith("begin ")
    assert "ValueError: the end" in text
    assert "left out" in text


async def test_the_real_sandbox_serves_the_tool(sandbox: Sandbox) -> None:
    tool = run_python(ThreadSessions(sandbox))
    first = await _call(tool, "n = 101; sum(range(n))")
    second = await _call(tool, "n + 1")
    assert (first.content, first.data["outcome"]) == ("5050", "finished")
    assert second.content == "102"


def test_the_model_is_told_what_it_may_import() -> None:
    tool = run_python(ThreadSessions(ScriptedSandbox([])), libraries="numpy is installed")
    assert tool.description.endswith(" numpy is installed.")
