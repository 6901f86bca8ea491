"""The catalogue of errors, and the page that is made of it."""

from __future__ import annotations

from pathlib import Path

from mos_protocol.error_catalogue import CATALOGUE, errors_page
from mos_protocol.errors import EDGES

PAGE = Path(__file__).resolve().parents[2] / "docs/errors.md"


def test_every_code_is_explained_once():
    assert set(CATALOGUE) == set(EDGES)
    for told in CATALOGUE.values():
        assert not told.title.endswith(".")
        assert told.meaning.endswith(".")
        assert told.remedy.endswith(".")


def test_what_may_succeed_later_is_what_programs_take_for_it():
    assert {code for code, told in CATALOGUE.items() if told.retry} == {
        code for code, edge in EDGES.items() if edge.exit_code == 7
    }


def test_the_page_has_a_row_and_a_section_for_every_code():
    page = errors_page()
    for code, edge in EDGES.items():
        assert f"| [`{code}`](#{code}) | {edge.http} | {edge.grpc} | {edge.exit_code} |" in page
        assert f"\n## {code}\n" in page


def test_the_page_in_the_docs_is_up_to_date():
    assert PAGE.read_text() == errors_page()
