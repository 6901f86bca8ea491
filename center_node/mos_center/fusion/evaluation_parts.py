"""What an evaluation samples: every concept's prompts on the base, in its own model, and fused.

The pictures are kept in one folder, each by what decides it, so that an evaluation that was stopped
goes on, and beside them a list per part of which pictures are its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mos_diffusion.base_model import load_base
from mos_diffusion.edlora import attach_concept
from mos_diffusion.evaluation.pictures import (
    OnPicture,
    PictureCache,
    SamplingSettings,
    sample_subject,
)
from mos_diffusion.evaluation.prompts import PromptLibrary, PromptSet
from mos_diffusion.evaluation.subjects import Subject, model_subject
from mos_protocol.errors import InvalidRequest
from mos_protocol.names import Digest

from mos_center.domain.evaluations import EvaluationRequest
from mos_center.fusion.parallel import compute_device
from mos_center.fusion.sources import ConceptSource

BATCH_SIZE = 4
Table = list[list[Path]]
"""Pictures of one concept: a row per prompt, a column per seed."""


@dataclass(frozen=True)
class Case:
    """A concept of the version, and the prompts that it is sampled with."""

    concept: ConceptSource
    prompts: PromptSet

    @property
    def by_class(self) -> list[str]:
        """The prompts with the class word in the concept's place."""
        return self.prompts.texts(self.concept.manifest.class_word)

    @property
    def by_name(self) -> list[str]:
        """The prompts with the concept's own words."""
        return self.prompts.texts(self.concept.manifest.trigger)


def cases_of(
    concepts: Sequence[ConceptSource], request: EvaluationRequest, library: PromptLibrary
) -> list[Case]:
    """Each concept with its prompts; raises `InvalidRequest` where none suit its class word."""
    if request.texts:
        own = PromptSet.of("custom", request.texts)
        return [Case(concept, own) for concept in concepts]
    if request.prompts:
        named = library.kind(request.prompts)
        return [Case(concept, named) for concept in concepts]
    return [Case(concept, _for_class(concept, library)) for concept in concepts]


def sampling_settings(request: EvaluationRequest) -> SamplingSettings:
    """How the pictures are sampled: as `mos-client evaluate` does by default."""
    return SamplingSettings(seeds=tuple(range(1, request.seeds + 1)), batch_size=BATCH_SIZE)


@dataclass(frozen=True)
class SamplingPart:
    """One model, and the prompts that it is sampled with, concept by concept.

    `index` is the file that lists its pictures once all are there.
    """

    name: str
    model: Callable[[], AbstractContextManager[Subject]]
    texts: tuple[tuple[str, ...], ...]
    settings: SamplingSettings
    index: Path

    @property
    def pictures(self) -> int:
        """How many it makes; what two concepts have in common is made once."""
        return len({text for own in self.texts for text in own}) * len(self.settings.seeds)

    def is_done(self) -> bool:
        """Whether all its pictures are there."""
        return self.index.is_file() and all(
            path.is_file() for table in self.tables() for row in table for path in row
        )

    def run(self, on_picture: OnPicture) -> None:
        """Make what is missing; `on_picture(done, total)` may raise to stop it."""
        cache = PictureCache(self.index.parent / "pictures")
        flat = [text for own in self.texts for text in own]
        with self.model() as subject:
            rows = sample_subject(subject, flat, self.settings, cache, on_picture=on_picture)
        told = [[str(path.relative_to(cache.folder)) for path in row] for row in rows]
        beside = self.index.with_name(f".{self.index.name}.{os.getpid()}")
        beside.write_text(json.dumps(told))
        beside.replace(self.index)

    def tables(self) -> list[Table]:
        """The pictures of each concept, once it has run."""
        folder = self.index.parent / "pictures"
        rows = iter(json.loads(self.index.read_text()))
        return [[[folder / name for name in next(rows)] for _ in own] for own in self.texts]


def sampling_parts(
    base: Path,
    version: Callable[[], Path],
    cases: Sequence[Case],
    settings: SamplingSettings,
    folder: Path,
) -> list[SamplingPart]:
    """All that is sampled: the base, every concept's own model, and the version, which comes last.

    `base` is the base model's folder, `version` makes the version's when it is needed.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def part(
        name: str,
        model: Callable[[], AbstractContextManager[Subject]],
        texts: Sequence[list[str]],
        index: str,
    ) -> SamplingPart:
        told = tuple(tuple(own) for own in texts)
        return SamplingPart(name, model, told, settings, folder / f"{index}.json")

    return [
        part("sample the base", partial(_plain, base), [case.by_class for case in cases], "base"),
        *(
            part(
                f"sample {case.concept.ref} in its own model",
                partial(_own, base, case.concept),
                [case.by_name],
                f"own-{number}",
            )
            for number, case in enumerate(cases)
        ),
        part(
            "sample the version",
            lambda: _plain(version()),
            [case.by_name for case in cases],
            "version",
        ),
    ]


def _for_class(concept: ConceptSource, library: PromptLibrary) -> PromptSet:
    try:
        return library.for_class(concept.manifest.class_word)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"It is not known which prompts suit the class word "
            f"{concept.manifest.class_word!r} of {concept.ref}.",
            hint=f"Ask with the name of a set ({', '.join(sorted(library.sets))}) or with prompts "
            "of your own.",
        ) from error


@contextmanager
def _plain(folder: Path) -> Iterator[Subject]:
    yield model_subject(load_base(folder, device=compute_device()))


@contextmanager
def _own(base: Path, concept: ConceptSource) -> Iterator[Subject]:
    """The base with the concept attached, as it was tuned: whatever its weight in the fusion."""
    plain = model_subject(load_base(base, device=compute_device()))
    told = f"{plain.digest} {concept.digest}".encode()
    with attach_concept(plain.model, concept.load()):
        yield Subject(plain.model, Digest(hashlib.sha256(told).hexdigest()), plain.base)
