"""Passages: whole sentences, in bounds, with their true place."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval.assembly import Assembly, markdown_table
from tools.retrieval.chunks import MAX_CHARS, chunk, embedded_text, sentences
from tools.retrieval.documents import Kind, Parsed

WORDS = st.text(alphabet="abcdefg .!?\n。é'\"-|", min_size=1, max_size=400)
BLOCKS = st.lists(
    st.one_of(
        st.tuples(st.just("heading"), st.integers(1, 4), WORDS),
        st.tuples(st.just("page"), st.integers(1, 9), WORDS),
        st.tuples(st.sampled_from(["prose", "table", "code"]), st.just(0), WORDS),
    ),
    max_size=30,
)


def assembled(blocks: list[tuple[str, int, str]]) -> Parsed:
    assembly = Assembly()
    for kind, number, text in blocks:
        match kind:
            case "heading":
                assembly.heading(number, text)
            case "page":
                assembly.page(number)
            case _:
                assembly.block(text, kind=Kind(kind))
    return assembly.finish(title="T", media_type="text/plain")


def prose(text: str) -> Parsed:
    return assembled([("prose", 0, text)])


@given(BLOCKS)
def test_every_section_is_its_slice_of_the_text(blocks: list[tuple[str, int, str]]) -> None:
    parsed = assembled(blocks)
    for section in parsed.sections:
        assert parsed.text[section.start : section.start + len(section.text)] == section.text
        assert section.text.strip()


@given(BLOCKS, st.sampled_from([40, 120, 1_000]))
def test_every_passage_fits_and_is_its_slice_of_one_section(
    blocks: list[tuple[str, int, str]], max_chars: int
) -> None:
    parsed = assembled(blocks)
    for index, one in enumerate(chunk(parsed, document_id="d", max_chars=max_chars)):
        start, end = one.span
        assert one.index == index
        assert one.text.strip()
        assert len(one.text) <= max_chars
        assert one.text.endswith(parsed.text[start:end])
        if len(one.text) != end - start:
            assert one.text.startswith("|") or "\n" in one.text
        places = {
            (section.heading_path, section.page)
            for section in parsed.sections
            if section.start < end and start < section.start + len(section.text)
        }
        assert places == {(one.heading, one.page)}


@given(BLOCKS, st.sampled_from([40, 120, 1_000]))
def test_no_character_of_a_section_is_lost(
    blocks: list[tuple[str, int, str]], max_chars: int
) -> None:
    parsed = assembled(blocks)
    passages = chunk(parsed, document_id="d", max_chars=max_chars)
    covered = {place for one in passages for place in range(*one.span)}
    for section in parsed.sections:
        # A long table's header is repeated in the parts' text and lies outside their spans.
        if section.kind is Kind.TABLE and len(section.text) > max_chars:
            continue
        for place in range(section.start, section.start + len(section.text)):
            assert parsed.text[place].isspace() or place in covered


@given(WORDS)
def test_sentences_hold_all_text_in_order(text: str) -> None:
    found = list(sentences(text))
    assert all(start < end for start, end, _ in found)
    assert all(first[1] <= second[0] for first, second in pairwise(found))
    joined = "".join("".join(text[start:end].split()) for start, end, _ in found)
    assert joined == "".join(text.split())


def test_a_sentence_ends_where_a_reader_would_say_so() -> None:
    text = "It cost 3.5 million. Dr. who? 'Yes!' 次の文。終わり！Done"
    assert [text[start:end] for start, end, _ in sentences(text)] == [
        "It cost 3.5 million.",
        "Dr. who?",
        "'Yes!'",
        "次の文。",
        "終わり！",
        "Done",
    ]


def test_neighbours_repeat_whole_sentences_of_about_a_fifth() -> None:
    text = " ".join(f"This is sentence number {number:03} of the rules." for number in range(200))
    passages = chunk(prose(text), document_id="d")
    assert len(passages) > 5
    for first, second in pairwise(passages):
        shared = first.span[1] - second.span[0]
        assert 0.1 * MAX_CHARS <= shared <= 0.25 * MAX_CHARS
        assert second.text.startswith("This is sentence")
        assert first.text.endswith("of the rules.")
    assert all(len(one.text) >= 800 for one in passages[:-1])


def test_one_long_sentence_is_repeated_where_the_next_one_still_fits() -> None:
    long, short = "A" + "a" * 600 + ".", "B" + "b" * 300 + "."
    passages = chunk(prose(f"{long} {short} {short} {short}"), document_id="d")
    assert passages[1].text.startswith(short)
    passages = chunk(prose(f"{long} {long}"), document_id="d")
    assert [one.text for one in passages] == [long, long]


def test_a_table_and_a_code_block_stay_whole_where_they_fit() -> None:
    table = markdown_table([["Item", "Price"], *([f"Thing {n}", f"{n}.50"] for n in range(30))])
    code = "\n".join(f"line_{number} = {number}" for number in range(40))
    words = "Some words. " * 30
    passages = chunk(
        assembled([("prose", 0, words), ("table", 0, table), ("code", 0, code)]), document_id="d"
    )
    assert any(table in one.text for one in passages)
    assert any(code in one.text for one in passages)


def test_every_part_of_a_long_table_repeats_its_header() -> None:
    table = markdown_table([["Item", "Price"], *([f"Thing {n}", f"{n}.50"] for n in range(200))])
    parsed = assembled([("table", 0, table)])
    passages = chunk(parsed, document_id="d")
    assert len(passages) > 3
    for one in passages:
        assert one.text.startswith("| Item | Price |\n| --- | --- |\n| Thing")
        assert parsed.text[slice(*one.span)].startswith("| Thing")
    assert "| Thing 199 | 199.50 |" in passages[-1].text


def test_long_code_is_cut_between_lines() -> None:
    code = "\n".join(f"value_{number} = compute({number})" for number in range(200))
    passages = chunk(assembled([("code", 0, code)]), document_id="d")
    lines = set(code.split("\n"))
    assert all(set(one.text.split("\n")) <= lines for one in passages)


def test_a_heading_with_nothing_under_it_is_still_found() -> None:
    parsed = assembled(
        [
            ("heading", 1, "Rules"),
            ("heading", 2, "Be kind"),
            ("heading", 1, "More"),
            ("prose", 0, "x"),
        ]
    )
    assert [(one.text, one.heading) for one in chunk(parsed, document_id="d")] == [
        ("Be kind", ("Rules",)),
        ("x", ("More",)),
    ]


def test_what_is_embedded_carries_title_and_headings_once() -> None:
    blocks = [("heading", 1, "Handbook"), ("heading", 2, "Holiday"), ("prose", 0, "30 days.")]
    [one] = chunk(assembled(blocks), document_id="d")
    assert embedded_text(one, title="Handbook") == "Handbook > Holiday\n30 days."
    assert embedded_text(one, title="hr.md") == "hr.md > Handbook > Holiday\n30 days."
    assert one.text == "30 days."
