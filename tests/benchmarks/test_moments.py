from __future__ import annotations

import json

import moments
import pytest
import torch
from moment_cases import CASES
from other_encodings import OTHERS


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moments")
    arguments = ["--quick", "--json", folder / "a.json", "--plot", folder / "a.png"]
    moments.main([str(argument) for argument in arguments])
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / "a.json").read_text())


def test_every_encoding_and_spectrum_is_measured(result):
    names = [row["encoding"] for row in result["encodings"]]
    assert names == [*(f"coded, {each:g}" for each in moments.ACCURACIES), *OTHERS]
    assert [row["case"] for row in result["cases"]] == list(CASES)


def test_a_finer_accuracy_takes_more_and_loses_less(result):
    ours = result["encodings"][: len(moments.ACCURACIES)]
    sizes = [row["megabytes"] for row in ours]
    losses = [row["closed form"] for row in ours]
    assert sizes == sorted(sizes)
    assert losses[-1] < losses[0]


def test_the_default_loses_next_to_nothing(result):
    for row in result["cases"]:
        assert row["closed form"] < moments.LIMIT_PERCENT
        assert row["lbfgs"] < moments.LIMIT_PERCENT


def test_the_section_is_a_table_per_question(result):
    text = moments.section(result)
    assert text.startswith("## Moments")
    assert text.count("| ---: |") >= 3


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_case_is_a_moment_and_concepts_differ(case):
    one, again, other = case(40, 0), case(40, 0), case(40, 1)
    assert torch.equal(one, again)
    assert float((one - other).norm()) > 1e-3 * float(one.norm())
    assert float(torch.linalg.eigvalsh(one)[0]) > -1e-5 * float(one.norm())


@pytest.mark.parametrize("store", OTHERS.values(), ids=OTHERS.keys())
def test_what_other_encodings_read_back_is_close_and_counts_its_bytes(store):
    gram = CASES["power law"](40, 0)
    found, size = store(gram)
    assert float((found - gram).norm()) < 0.3 * float(gram.norm())
    assert 0 < size <= 4 * 40 * 41
