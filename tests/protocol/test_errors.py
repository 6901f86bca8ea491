"""The error tree, its one table, and the way over a wire and back."""

from __future__ import annotations

import pickle

import grpc
import pytest
from mos_protocol import errors
from mos_protocol.errors import (
    EDGES,
    InvalidPackage,
    MosError,
    NotFound,
    Unavailable,
    error_class,
    rebuild,
)


def _subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def test_every_error_has_its_row_in_the_table():
    assert {cls.code for cls in _subclasses(MosError)} | {"internal"} == set(EDGES)


def test_every_row_names_a_real_grpc_status_and_a_failing_exit_code():
    for edge in EDGES.values():
        assert edge.grpc in grpc.StatusCode.__members__
        assert 400 <= edge.http < 600
        assert 0 < edge.exit_code < 126


@pytest.mark.parametrize("code", sorted(EDGES))
def test_a_code_leads_back_to_its_class(code):
    assert error_class(code).code == code


def test_an_unknown_code_is_a_plain_error():
    assert type(rebuild("brand_new", "what", hint="", fields={})) is MosError


def test_an_error_survives_the_wire():
    sent = NotFound("no model demo@9.", hint="See `mos-client models`.", model="demo")
    came = rebuild(sent.code, sent.message, hint=sent.hint, fields=dict(sent.fields))
    assert type(came) is NotFound
    assert (came.message, came.hint, came.fields) == (sent.message, sent.hint, sent.fields)


def test_a_refused_package_keeps_its_file_and_reason_over_the_wire():
    sent = InvalidPackage("concept.safetensors", "truncated", hint="again")
    came = rebuild(sent.code, sent.message, hint=sent.hint, fields=dict(sent.fields))
    assert isinstance(came, InvalidPackage)
    assert (came.file, came.reason, came.message) == (sent.file, sent.reason, sent.message)


@pytest.mark.parametrize("name", ["message", "hint", "self", "code"])
def test_no_field_name_of_the_other_side_can_break_the_rebuilding(name):
    came = rebuild("not_found", "gone", hint="look", fields={name: "x"})
    assert type(came) is NotFound
    assert (came.message, came.hint, came.code) == ("gone", "look", "not_found")


def test_errors_survive_a_pickle_because_durable_jobs_store_them():
    for error in (
        InvalidPackage("a", "b", hint="c"),
        Unavailable("away", hint="wait", host="x"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (copy.message, copy.hint, copy.fields) == (error.message, error.hint, error.fields)


def test_the_text_of_an_error_is_message_and_hint():
    assert str(MosError("It broke.", hint="Mend it.")) == "It broke. Mend it."
    assert str(MosError("It broke.")) == "It broke."


def test_the_tree_at_the_top_of_the_module_names_every_class():
    for cls in _subclasses(MosError):
        if cls.__module__ == errors.__name__:
            assert cls.__name__ in (errors.__doc__ or "")
