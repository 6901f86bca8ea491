"""A tiny base, and settings of an import that takes seconds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from mos_client.importing import ImportSettings
from mos_diffusion.base_model import BaseModel, layer_map, load_base
from mos_protocol.layer_map import LayerMap
from tiny_base import write_tiny_base


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def loaded_base(base_folder: Path) -> BaseModel:
    return load_base(base_folder)


@pytest.fixture
def base(loaded_base: BaseModel) -> BaseModel:
    return copy.deepcopy(loaded_base)


@pytest.fixture(scope="session")
def layers(loaded_base: BaseModel) -> LayerMap:
    return layer_map(loaded_base)


@pytest.fixture
def make_settings(base_folder: Path) -> Callable[..., ImportSettings]:
    """Settings on the tiny base, with what a test changes."""

    def make(file: Path, **changes: object) -> ImportSettings:
        given: dict = {
            "name": "ada/cat",
            "words": ("<ohwx>", "<cat>"),
            "base": str(base_folder),
            "base_name": "tiny",
            "trigger": "red cat",
            "recording": "paper",
            "preview_steps": 1,
            "device": "cpu",
        }
        return ImportSettings(file=file, **(given | changes))

    return make
