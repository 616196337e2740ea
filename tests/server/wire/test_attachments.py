"""Files inside messages, in the shapes in which clients send them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import Invalid
from server.wire import attachments
from server.wire.messages import plain

CSV = b"a,b\n1,2\n"
CODED = base64.b64encode(CSV).decode()
TEXT = {"type": "text", "text": "Sum it up"}
PARTS: list[dict[str, Any]] = [
    {"type": "file", "file": {"filename": "a.csv", "file_data": f"data:text/csv;base64,{CODED}"}},
    {"type": "file", "file": {"filename": "a.csv", "file_data": CODED}},
    {"type": "input_file", "filename": "a.csv", "file_data": CODED},
    {
        "type": "file",
        "source_type": "base64",
        "mime_type": "text/csv",
        "data": CODED,
        "metadata": {"filename": "a.csv"},
    },
    {
        "type": "file",
        "mimeType": "text/csv",
        "data": CODED,
        "metadata": {"name": "a.csv"},
    },
    {"type": "file", "base64": CODED, "mime_type": "text/csv", "extras": {"filename": "a.csv"}},
    {"type": "file", "source_type": "text", "text": CSV.decode(), "filename": "a.csv"},
    {"type": "file", "source_type": "url", "url": "data:,a%2Cb%0A1%2C2%0A", "name": "a.csv"},
    {"type": "text-plain", "text": CSV.decode(), "title": "a.csv"},
]


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize("part", PARTS)
def test_a_file_is_taken_out_and_its_name_stays(part: dict[str, Any]) -> None:
    taken = attachments.taken(user(TEXT, part), limit=100)
    [file] = taken.files
    assert (file.name, file.content, file.field) == ("a.csv", CSV, "messages.0.content.1")
    assert plain(taken.messages()) == [{"role": "user", "content": "Sum it up\n[attached: a.csv]"}]
    assert plain(taken.messages(["a-2.csv"]))[0]["content"].endswith("[attached: a-2.csv]")


def test_a_name_is_made_safe_and_one_that_is_missing_is_made() -> None:
    parts = [
        {"type": "file", "file": {"filename": "../../x]\n.csv", "file_data": CODED}},
        {"type": "file", "base64": CODED, "mime_type": "text/csv"},
        {"type": "file", "base64": CODED},
    ]
    names = [one.name for one in attachments.taken(user(*parts), limit=100).files]
    assert names == ["x__.csv", "file.csv", "file"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "file"}, "the file has no content"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file ids are not known here"),
        ({"type": "file", "source_type": "id", "id": "1"}, "file ids are not known here"),
        ({"type": "file", "base64": "no base64!"}, "no valid base64"),
        ({"type": "file", "url": "https://x.example/a.csv"}, "nothing is fetched"),
        ({"type": "file", "base64": "A" * 200}, "100 at most are taken"),
        ({"type": "file", "text": "A" * 200}, "100 at most are taken"),
        ({"type": "file", "url": "data:," + "A" * 200}, "100 at most are taken"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(part: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said) as error:
        attachments.taken(user(TEXT, part), limit=100)
    assert str(error.value.detail).startswith("messages.0.content.1: ")


def test_too_many_files_are_refused() -> None:
    with pytest.raises(Invalid, match="more than 50 files"):
        attachments.taken(user(*[PARTS[0]] * 51), limit=100)


def test_files_come_from_users_alone() -> None:
    said = [{"role": "assistant", "content": [PARTS[0]]}]
    assert attachments.taken(said, limit=100).files == []
    with pytest.raises(Invalid, match="file parts are not read here"):
        plain(said)


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "file", "data", "url", "text", "filename", "metadata", "base64"]
            )
            | st.text(max_size=4),
            inner | st.sampled_from(["file", "text-plain", "input_file", "data:,x"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.lists(_JSON, max_size=4))
def test_nothing_but_a_clear_refusal_comes_of_any_shape(parts: list[Any]) -> None:
    try:
        taken = attachments.taken(user(*parts), limit=100)
        plain(taken.messages())
    except Invalid:
        return


def test_a_file_that_was_refused_does_not_end_its_conversation() -> None:
    refused = user(TEXT, {"type": "file", "file": {"file_id": "file-1"}})
    with pytest.raises(Invalid, match="file ids are not known"):
        attachments.taken(refused, limit=100)
    later = [*refused, {"role": "assistant", "content": "Sorry."}, *user(PARTS[0])]
    taken = attachments.taken(later, limit=100)
    assert [one.name for one in taken.files] == ["a.csv"]
    assert [one["content"] for one in plain(taken.messages())] == [
        "Sum it up\n[not read here: file]",
        "Sorry.",
        "[attached: a.csv]",
    ]


def test_a_conversation_goes_on_beyond_the_files_of_one_request_with_the_latest() -> None:
    def named(name: str) -> dict[str, Any]:
        return {"type": "file", "file": {"filename": name, "file_data": "YQ=="}}

    said = [one for at in range(60) for one in user(TEXT, named(f"{at}.csv"))]
    taken = attachments.taken(said, limit=100)
    assert [one.name for one in taken.files] == [f"{at}.csv" for at in range(10, 60)]
    words = [one["content"] for one in plain(taken.messages())]
    assert words[9].endswith("[not read here: file]")
    assert words[10].endswith("[attached: 10.csv]")
    assert words[59].endswith("[attached: 59.csv]")
