"""Passages: whole sentences, in bounds, with their true place."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.retrieval.assembly import Assembly, markdown_table
from tools.retrieval.chunks import MAX_CHARS, chunk, embedded_text, sentences
from tools.retrieval.documents import Kind, Parsed, Section

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


@given(st.integers(0, 2**32))
def test_prose_repeats_at_least_a_sentence_and_about_a_fifth(seed: int) -> None:
    lengths = Random(seed).choices(range(20, 190), k=200)
    text = " ".join(f"S{'x' * (length - 2)}." for length in lengths)
    passages = chunk(prose(text), document_id="d")
    starts = {start for start, _, _ in sentences(text)}
    total = shared = 0
    for first, second in pairwise(passages):
        assert second.span[0] in starts
        repeated = first.span[1] - second.span[0]
        assert 20 <= repeated <= 300
        shared += repeated
        total += len(second.text)
    assert 0.15 <= shared / total <= 0.25


def test_passages_that_stay_keep_their_ids() -> None:
    blocks = [
        block
        for number in range(5)
        for block in (
            ("heading", 1, f"Rule {number}"),
            ("prose", 0, f"The rule of number {number}. " * 60),
        )
    ]
    before = chunk(assembled(blocks), document_id="d")
    changed = [("heading", 1, "New"), ("prose", 0, "Quite new."), *blocks[:3]]
    changed += [("prose", 0, "Another rule."), *blocks[4:]]
    after = chunk(assembled(changed), document_id="d")
    ids = {one.chunk_id for one in before}
    assert len(ids) == len(before)
    new = [one for one in after if one.chunk_id not in ids]
    assert {one.heading for one in new} == {("New",), ("Rule 1",)}
    same = {one.chunk_id: one.text for one in after if one.chunk_id in ids}
    assert all(same.get(one.chunk_id, one.text) == one.text for one in before)


def test_the_same_text_twice_has_two_ids() -> None:
    parsed = assembled(
        [("page", 1, ""), ("prose", 0, "Blank."), ("page", 2, ""), ("prose", 0, "Blank.")]
    )
    one, two = chunk(parsed, document_id="d")
    assert two.chunk_id == f"{one.chunk_id}-2"


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Take it.\n2. Leave it.", ["1. Take it.", "2. Leave it."]),
        ("See Fig. 3 and Dr. Who. Then go.", ["See Fig. 3 and Dr. Who.", "Then go."]),
        ("「はい。」彼は言った。そう？", ["「はい。」", "彼は言った。", "そう？"]),
        ("真的吗？！是的。\n\n下一段", ["真的吗？！", "是的。", "下一段"]),
        ("Buy:\n- milk\n  - fresh\n* eggs", ["Buy:", "- milk", "- fresh", "* eggs"]),
    ],
)
def test_items_abbreviations_and_other_scripts_are_known(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end, _ in sentences(text)] == expected


def test_a_list_stays_whole_with_what_leads_to_it() -> None:
    words = " ".join(f"Sentence number {number:02} stands here." for number in range(20))
    items = "\n".join(f"- item {number} of the list" for number in range(18))
    passages = chunk(prose(f"{words}\n\nBring with you:\n{items}\n\nThe end."), document_id="d")
    assert any(f"Bring with you:\n{items}" in one.text for one in passages)
    assert "Bring with you" not in passages[0].text
    assert len(passages) == 2


def test_a_list_too_long_for_a_passage_is_cut_between_items() -> None:
    items = "\n".join(f"{number}. item {number} of the long list" for number in range(100))
    passages = chunk(prose(items), document_id="d")
    assert len(passages) > 3
    assert all(one.text.split(".")[0].isdigit() for one in passages)
    assert all(one.text.endswith("of the long list") for one in passages)


def test_a_text_without_sentences_is_repeated_in_parts_too() -> None:
    passages = chunk(prose("word " * 1_000), document_id="d")
    for first, second in pairwise(passages):
        assert 0 < first.span[1] - second.span[0] <= 300


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


def test_a_caption_stands_in_each_part_of_its_table_and_once() -> None:
    table = markdown_table([["Item", "Price"], *([f"Thing {n}", f"{n}.50"] for n in range(90))])
    for text, caption, before in (
        (table, "Table 3: prices", ""),
        (table[:300], "Table 3: prices", ""),
        (table[:300], "Table 3: prices", "Table 3: prices\n\n"),
    ):
        sections = [Section(text=text, start=len(before), kind=Kind.TABLE, caption=caption)]
        if before:
            sections.insert(0, Section(text=before.strip(), start=0))
        parsed = Parsed(
            title="T", text=before + text, sections=tuple(sections), media_type="text/plain"
        )
        passages = chunk(parsed, document_id="d")
        assert all(one.text.startswith("Table 3: prices\n") for one in passages)
        assert all(one.text.count("Table 3") == 1 for one in passages)
        assert all(one.text.count("| Item | Price |") == 1 for one in passages)
        assert all(len(one.text) <= MAX_CHARS for one in passages)


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
