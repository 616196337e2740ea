"""What our client makes of the bytes that servers really send, well and badly."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from models import errors, openai_stream, sse
from models.chat import build
from models.lean import LeanChat
from models.pieces import Written
from models.registry import ClientKind
from tests.models.chatting import KEY, NotingGate
from tests.models.wire import (
    DONE,
    Bytes,
    End,
    byte_server,
    event,
    frame,
    lean_client,
    says,
    spec,
)

ASK = [HumanMessage("How long?")]
WORDS = ("Dreißig ", "Tage 🌍", ".")


async def text_of(client: LeanChat) -> str:
    return "".join([piece.text async for piece in client.pieces(ASK)])


async def ask(url: str, *, model: dict[str, Any] | None = None, **options: Any) -> Written:
    written = Written()
    async with lean_client(url, **(model or {})) as client:
        async for piece in client.pieces(ASK, **options):
            written.add(piece)
    return written


async def test_frames_and_letters_cut_at_every_byte_are_put_together() -> None:
    whole = b"".join(says(*WORDS))
    writes = [whole[at : at + 1] for at in range(len(whole))]
    async with byte_server(Bytes(writes=writes)) as server:
        assert (await ask(server.url)).text == "".join(WORDS)


async def test_comments_between_frames_keep_a_slow_model_alive() -> None:
    writes = [part for word in says(*WORDS) for part in (b": still thinking\n\n", word)]
    async with byte_server(Bytes(writes=writes)) as server:
        assert (await ask(server.url)).text == "".join(WORDS)


async def test_a_reply_that_never_ends_is_given_up_though_bytes_still_come() -> None:
    async with byte_server(Bytes(writes=[frame({"content": "thirty"})], end=End.ENDLESS)) as server:
        with pytest.raises(errors.ModelTimeout, match=r"0\.2 s"):
            await ask(server.url, model={"timeout": 0.2})


async def test_a_server_that_does_not_stream_is_understood() -> None:
    message = {"content": "thirty", "reasoning_content": "hm"}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}], "model": "served"}
    body = json.dumps(whole).encode()
    async with byte_server(Bytes(writes=[body], content_type="application/json")) as server:
        written = await ask(server.url)
    assert (written.text, written.reasoning, written.finish) == ("thirty", "hm", "stop")


@pytest.mark.parametrize(
    ("writes", "kind"),
    [
        ([frame({"content": "thir"}), b"data: {broken\n\n"], errors.ModelFailed),
        ([b'data: {"choices": [{"delta": {"content": "x\xff"}}]}\n\n'], errors.ModelFailed),
        ([b"data: [1, 2]\n\n"], errors.ModelFailed),
        ([frame({"content": "thir"}), event({"error": {"message": "died"}})], errors.ModelFailed),
        ([event({"object": "error", "message": "died"})], errors.ModelFailed),
        ([event({"error": "context length exceeded"})], errors.ContextTooLong),
        ([frame({"content": "thirty"}), DONE], errors.StreamCut),
        ([frame({"content": "thirty"}), frame({"content": "more"})[:-9]], errors.StreamCut),
        ([b": nothing\n\n"], errors.StreamCut),
        ([], errors.StreamCut),
    ],
)
async def test_a_reply_that_is_none_is_a_typed_error(
    writes: list[bytes], kind: type[errors.ModelError]
) -> None:
    async with byte_server(Bytes(writes=writes)) as server:
        with pytest.raises(kind) as caught:
            await ask(server.url)
    assert type(caught.value) is kind


@pytest.mark.parametrize("body", [b'{"hello": "world"}', b'{"error": {"message": "no"}}', b"{"])
async def test_json_that_is_no_reply_is_a_typed_error(body: bytes) -> None:
    async with byte_server(Bytes(writes=[body], content_type="application/json")) as server:
        with pytest.raises(errors.ModelFailed):
            await ask(server.url)


async def test_a_line_without_end_is_not_collected() -> None:
    flood = [b"data: "] + [b"x" * 2**16] * (sse.LONGEST // 2**16 + 8)
    async with byte_server(Bytes(writes=flood, end=End.CLOSED)) as server:
        with pytest.raises(errors.ModelFailed):
            await ask(server.url)


@pytest.mark.parametrize("end", list(End)[:3])
async def test_a_reply_with_its_finish_reason_is_whole_however_it_ends(end: End) -> None:
    async with byte_server(Bytes(writes=says("thirty")[:-1], end=end)) as server:
        assert (await ask(server.url)).text == "thirty"


async def test_a_finished_reply_does_not_wait_for_a_count_that_never_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openai_stream, "_COUNT_SECONDS", 0.1)
    async with byte_server(Bytes(writes=says("thirty")[:-1], end=End.ENDLESS)) as server:
        assert (await ask(server.url)).text == "thirty"


async def test_a_host_that_does_not_exist_is_told() -> None:
    with pytest.raises(errors.ModelUnreachable, match="cannot be found"):
        await ask("http://nowhere.invalid/v1")


async def test_what_follows_the_end_mark_is_not_read() -> None:
    writes = [*says("thirty"), frame({"content": " more"})]
    async with byte_server(Bytes(writes=writes)) as server:
        assert (await ask(server.url)).text == "thirty"


async def test_tool_calls_come_in_fragments() -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "search", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"q": '}},
        {"index": 1, "id": "b", "function": {"name": "count", "arguments": '{"n"'}},
        {"index": 0, "function": {"arguments": '"é"}'}},
        {"index": 1, "id": None, "function": {"name": None, "arguments": ": 1}"}},
    ]
    writes = [frame({"tool_calls": [delta]}) for delta in deltas]
    async with byte_server(Bytes(writes=[*writes, *says()])) as server:
        calls = (await ask(server.url)).calls
    assert [(call.id, call.name, call.args) for call in calls] == [
        ("a", "search", '{"q": "é"}'),
        ("b", "count", '{"n": 1}'),
    ]


@pytest.mark.parametrize("index", [{}, {"index": 0}])
async def test_calls_that_share_an_index_are_told_apart_by_their_ids(index: dict[str, int]) -> None:
    calls = [
        {**index, "id": name, "function": {"name": name, "arguments": {"n": 1}}} for name in "ab"
    ]
    writes = [frame({"tool_calls": [call]}) for call in calls]
    async with byte_server(Bytes(writes=[*writes, *says()])) as server:
        found = (await ask(server.url)).calls
    assert [(call.name, call.args) for call in found] == [("a", '{"n":1}'), ("b", '{"n":1}')]


async def test_the_fragments_of_calls_that_share_an_index_belong_to_the_last_one() -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "search", "arguments": '{"q"'}},
        {"index": 0, "function": {"name": "search", "arguments": ": 1}"}},
        {"index": 0, "id": "b", "function": {"name": "search", "arguments": '{"q"'}},
        {"index": 0, "function": {"arguments": ": 2}"}},
    ]
    writes = [frame({"tool_calls": [delta]}) for delta in deltas]
    async with byte_server(Bytes(writes=[*writes, *says()])) as server:
        calls = (await ask(server.url)).calls
    assert [(call.id, call.name, call.args) for call in calls] == [
        ("a", "search", '{"q": 1}'),
        ("b", "search", '{"q": 2}'),
    ]


async def test_half_of_a_pair_is_one_letter_lost_and_no_reply() -> None:
    """A server that cuts its text between the halves of what it spells as a pair."""
    cut = frame({"content": "Tage~"}).replace(b"~", b"\\ud83d")
    async with byte_server(Bytes(writes=[cut, *says(".")])) as server:
        assert (await ask(server.url)).text == "Tage\ufffd."


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_is_kept_apart_from_the_text(name: str) -> None:
    writes = [frame({name: "so ", "content": None}), frame({name: "what"}), *says("thirty")]
    async with byte_server(Bytes(writes=writes)) as server:
        written = await ask(server.url)
    assert (written.reasoning, written.text) == ("so what", "thirty")


async def test_a_count_that_comes_with_every_frame_is_not_added_up() -> None:
    counts = [{"prompt_tokens": 7, "completion_tokens": number} for number in (1, 2)]
    writes = [frame({"content": "x"}, usage=count) for count in counts]
    async with byte_server(Bytes(writes=[*writes, *says()])) as server:
        used = (await ask(server.url)).usage
    assert used is not None
    assert used[:2] == (7, 2)


async def test_calls_one_after_the_other_share_a_connection() -> None:
    async with byte_server(*[Bytes(writes=says("a"))] * 3) as server:
        async with lean_client(server.url) as client:
            for _ in range(3):
                assert await text_of(client) == "a"
        assert {asked.connection for asked in server.asked} == {1}


async def test_a_reply_left_unread_gives_its_connection_up() -> None:
    async with byte_server(Bytes(end=End.ENDLESS), Bytes(writes=says("a"))) as server:
        async with lean_client(server.url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(client.pieces(ASK))
            assert await text_of(client) == "a"
        assert [asked.connection for asked in server.asked] == [1, 2]


async def test_a_connection_that_went_stale_is_replaced_without_an_attempt() -> None:
    gone = Bytes(head=False, end=End.CLOSED)
    gate = NotingGate()
    async with byte_server(Bytes(writes=says("a")), gone, Bytes(writes=says("b"))) as server:
        model = build(spec(server.url))
        try:
            replies = [await model.call(ASK, gate=gate) for _ in range(2)]
        finally:
            await model.aclose()
        assert [asked.connection for asked in server.asked] == [1, 1, 2]
    assert [(str(reply.message.text), reply.attempts) for reply in replies] == [("a", 1), ("b", 1)]
    assert len(gate.settled) == 2


async def test_a_fresh_connection_that_gives_nothing_is_a_cut_and_counted() -> None:
    async with byte_server(Bytes(head=False, end=End.CLOSED)) as server:
        with pytest.raises(errors.StreamCut):
            await ask(server.url)


async def test_a_server_that_speaks_no_http_is_told() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((errors.ModelFailed, errors.StreamCut), match="double"):
        await ask(f"http://127.0.0.1:{port}/v1")
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("url", ["not a url", "ftp://host/v1"])
async def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(errors.ModelUnreachable, match="COUNTERPOINT_MODEL_URL"):
        await ask(url)


@pytest.mark.parametrize("client", list(ClientKind))
async def test_a_proxy_is_for_public_addresses(
    client: ClientKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with byte_server(Bytes(writes=says("far")), Bytes(writes=says("near"))) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
        monkeypatch.delenv("NO_PROXY")
        for url in ("http://llm.example.com/v1", server.url):
            model = build(spec(url, client=client))
            try:
                await model.call(ASK)
            finally:
                await model.aclose()
        assert [asked.target for asked in server.asked] == [
            "http://llm.example.com/v1/chat/completions",
            "/v1/chat/completions",
        ]


async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with byte_server(Bytes(writes=[event({"error": f"bad {KEY}"})])) as server:
        async with lean_client(server.url) as client:
            assert KEY not in repr(client)
            with pytest.raises(errors.ModelFailed) as caught:
                await anext(client.pieces(ASK))
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text


async def test_tokens_that_arrive_together_are_one_piece_and_nothing_changes_its_order() -> None:
    together = [frame({"content": word}) for word in ("Thirty", " ", "days")]
    call = {"index": 0, "id": "c", "function": {"name": "search", "arguments": "{}"}}
    rest = [
        frame({"reasoning_content": "Hm."}),
        frame({"content": "."}),
        frame({"tool_calls": [call]}),
        frame({"content": "!"}),
        frame({}, finish="stop"),
        DONE,
    ]
    reply = Bytes(writes=[b"".join([*together, *rest])])
    async with byte_server(reply) as server, lean_client(server.url) as client:
        found = [piece async for piece in client.pieces(ASK)]
    told = [(one.text, one.reasoning, len(one.calls), one.finish) for one in found]
    assert told == [
        ("Thirty days", "", 0, None),
        ("", "Hm.", 0, None),
        (".", "", 0, None),
        ("", "", 1, None),
        ("!", "", 0, None),
        ("", "", 0, "stop"),
    ]
