"""A tiny base model with random weights, loaded once and copied for each test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from mos_diffusion.base_model import BaseModel, load_base
from mos_diffusion.edlora import ConceptWeights, new_concept
from tiny_base import write_tiny_base


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def loaded_base(base_folder: Path) -> BaseModel:
    return load_base(base_folder)


@pytest.fixture
def base(loaded_base: BaseModel) -> BaseModel:
    return copy.deepcopy(loaded_base)


@pytest.fixture(scope="session")
def random_concept(loaded_base: BaseModel) -> Callable[..., ConceptWeights]:
    """Makes the weights of a concept that changes every layer noticeably."""

    @cache
    def make(words: tuple[str, ...] = ("<potter1>", "<potter2>"), seed: int = 0) -> ConceptWeights:
        generator = torch.Generator().manual_seed(seed)
        base = copy.deepcopy(loaded_base)
        with torch.no_grad():
            concept = new_concept(base, words, "man", rank=2, seed=seed)
            concept.embedding_rows().normal_(0, 0.2, generator=generator)
            for factors in concept.lora_factors().values():
                factors.up.normal_(0, 0.3, generator=generator)
            return concept.weights()

    return make
