"""Plain data from YAML and JSON: what is read, on which line it is, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some
from mos_protocol.plain_yaml import MAX_BYTES, NotPlainError, read_plain

BOMB = "a: &a [1, 1]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)


def refusal(text: str | bytes) -> NotPlainError:
    with pytest.raises(NotPlainError) as caught:
        read_plain(text)
    return caught.value


def test_scalars_are_what_json_has_and_everything_else_is_text():
    text = "[1, -2, 0.5, 1e3, .5, true, null, ~, no, 12:30, 2024-01-01, 0x10, 1_000, 'true', \"1\"]"
    assert read_plain(text).data == [
        *(1, -2, 0.5, 1000.0, 0.5, True, None, None),
        *("no", "12:30", "2024-01-01", "0x10", "1_000", "true", "1"),
    ]


def test_each_value_has_the_line_on_which_it_is_given():
    document = read_plain("a: 1\nb:\n  - x\n  -\n    c: {d: 2}\n")
    assert document.lines[("a",)] == 1
    assert document.lines[("b",)] == 2
    assert document.lines[("b", 0)] == 3
    assert document.lines[("b", 1, "c", "d")] == 5
    assert document.line(("b", 1, "missing", 3)) == document.lines[("b", 1)]


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers(-(10**9), 10**9) | some.text("abc \n\"'é#:-"),
        lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text("abc"), inner),
        max_leaves=8,
    ),
    some.sampled_from([None, 2, "\t"]),
)
def test_json_is_read_as_json_reads_it(data, indent):
    text = json.dumps({"data": data}, indent=indent, ensure_ascii=False)
    assert read_plain(text).data == {"data": data}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: &x 1", 1, "anchors and aliases"),
        ("a: 1\nb: *a", 2, "anchors and aliases"),
        ("&k a: 1", 1, "anchors and aliases"),
        (BOMB, 1, "anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags are not read"),
        ("a: !x 1", 1, "tags are not read"),
        ("a: 1\na: 2", 2, "`a` is given twice"),
        ("{a: 1, b: {c: 1,\nc: 2}}", 2, "`c` is given twice"),
        ("? [a]\n: 1", 1, "a key must be text"),
        ("a: 1\n---\nb: 2", 2, "a second document"),
        ("a: [1\nb: 2", 2, "expected"),
        ("[" * 5000, 1, "nest"),
        ("- " * 5000, 1, "nested"),
        ("[" + "1," * 30_000 + "]", 1, "more than 20000 values"),
        ("", None, "the text is empty"),
        ("# nothing\n", None, "the text is empty"),
        (b"\xff\xfe\x00", None, "not UTF-8"),
        ("a: \x00", None, "characters that YAML doesn't allow"),
        ("x" * (MAX_BYTES + 1), None, "longer than 256 KB"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_line(text, line, reason):
    error = refusal(text)
    assert error.line == line
    assert reason in error.reason
