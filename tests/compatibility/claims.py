"""What other clients need of a server, and which test shows that it is there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A thing that a client does, and the test of it."""

    client: str
    does: str
    test: str


_RUNS = "tests/server/test_runs_routes.py::"
_ENDING = "tests/server/test_runs_ended.py::"
_SDK = "tests/server/test_runs_sdk.py::"
_STATES = "tests/server/threads/test_state_routes.py::"
_THREADS = "tests/server/test_threads_routes.py::"
_OPENAI = "tests/server/test_openai_wire.py::"
_RESPONSES = "tests/server/test_responses.py::"
_FRONTENDS = "tests/server/frontends/test_frontend_tasks.py::"
_GATES = "tests/server/test_gates.py::"
_CALLERS = "tests/server/test_callers.py::"
_STREAM = "tests/server/wire/test_run_stream.py::"

_TOLD: dict[str, dict[str, str]] = {
    "any page in a browser": {
        "a preflight without a key; `Content-Location`, `Location`, `X-Pagination-*` can be read": (
            _CALLERS + "test_a_browser_is_told_before_it_asks_which_pages_may"
        ),
        "reads errors, too": _CALLERS + "test_a_page_that_was_let_in_reads_what_went_wrong_too",
    },
    "agent-chat-ui, agent-inbox": {
        "`GET /info` with `flags` and `host`": _GATES + "test_the_server_says_what_it_is",
    },
    "agent-chat-ui": {
        "the list of threads": _THREADS + "test_a_search_is_filtered_sorted_cut_and_paged",
        "history with `parent_checkpoint`, which an edit or a new try forks from": (
            _STATES + "test_a_history_goes_on_before_a_state"
        ),
        "answers a question by `command`, which wins over an empty `input`": (
            _RUNS + "test_a_graph_that_asks_is_answered_by_the_next_run_of_its_thread"
        ),
    },
    "agent-inbox": {
        "threads that wait, with their questions": (
            "tests/server/threads/test_with_runs.py::test_what_waits_is_listed_and_ignored"
        ),
        "Ignore: an update of the state as `__end__`": (
            _STATES + "test_the_inboxs_ignore_clears_what_waits"
        ),
    },
    "`useStream`": {
        "`values`, `messages-tuple`, `updates`, `custom` in one stream": (
            _RUNS + "test_a_users_graph_is_streamed_in_every_mode_that_was_asked"
        ),
        "comes back with `Last-Event-ID`, `-1` for all": (
            _RUNS + "test_a_reader_who_comes_back_misses_nothing_and_gets_nothing_twice"
        ),
        "is cut at any byte and goes on": (
            _STREAM + "test_a_stream_that_is_cut_at_any_byte_goes_on_exactly_where_it_ended"
        ),
        "regular heartbeats": _RUNS + "test_a_silent_run_is_heard_by_its_heart",
        "`on_disconnect: cancel`": (
            _ENDING + "test_a_reader_who_leaves_ends_the_run_only_if_it_said_so"
        ),
        "stop": _ENDING + "test_a_run_is_looked_at_and_cancelled",
        "lists and truth values in queries as JSON": (
            _THREADS + "test_a_list_in_a_query_is_the_same_in_every_spelling"
        ),
    },
    "LangGraph's SDKs": {
        "two hundred cuts at random bytes, every event once": (
            _SDK + "test_streams_that_are_cut_two_hundred_times_give_every_event_once"
        ),
    },
    "OpenAI clients": {
        "list models": _OPENAI + "test_the_models_are_the_team_and_each_agent",
        "chat completions, streamed": (
            _OPENAI + "test_progress_is_reasoning_and_the_answer_is_content"
        ),
        "chat completions at once": _OPENAI + "test_a_completion_comes_at_once_without_a_stream",
        "`stream_options.include_usage`": (
            _OPENAI + "test_usage_of_the_whole_run_comes_when_it_is_asked_for"
        ),
        "errors, also within a stream, in their own shape": (
            _OPENAI + "test_a_failure_in_the_stream_is_raised_by_the_client"
        ),
        "responses, streamed": (
            _RESPONSES + "test_events_come_in_the_protocols_order_and_add_up_to_the_response"
        ),
        "responses at once": (
            _RESPONSES + "test_a_response_comes_whole_with_its_sources_as_annotations"
        ),
        "`previous_response_id`, also twice from the same": (
            _RESPONSES + "test_a_conversation_branches_where_a_response_is_gone_on_from_twice"
        ),
        "a stream of a response that was cut goes on": (
            _RESPONSES + "test_a_stream_that_was_cut_goes_on_behind_the_last_number"
        ),
    },
    "Open WebUI, LibreChat": {
        "titles, tags, follow-up questions, queries, each for one model call": (
            _FRONTENDS + "test_each_task_is_one_call_whose_answer_the_client_can_parse"
        ),
        "a conversation behind an image, which is refused": (
            _OPENAI + "test_a_conversation_goes_on_behind_an_image_that_was_refused"
        ),
    },
    "Vercel's AI SDK": {
        "gives answers back by their ids (`item_reference`)": (
            _RESPONSES + "test_an_answer_may_be_given_back_by_its_id"
        ),
    },
}
CLAIMS = [
    Claim(client=client, does=does, test=test)
    for client, told in _TOLD.items()
    for does, test in told.items()
]
