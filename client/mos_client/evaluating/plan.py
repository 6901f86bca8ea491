"""What an evaluation is about, found and checked before anything is sampled.

A target is a concept package (the concept's own model, on the base) or a published model folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mos_diffusion.evaluation.evaluating import ConceptCase
from mos_diffusion.evaluation.prompts import choose_prompts
from mos_diffusion.formats.published import CONCEPTS_INDEX, ConceptsIndex, open_published
from mos_protocol.errors import InvalidRequest
from mos_protocol.manifest import MANIFEST_FILE, read_manifest

from mos_client.tuning.dataset import Dataset, read_dataset


@dataclass(frozen=True)
class Named:
    """A concept as one target has it: without its version, and how prompts name it there."""

    name: str
    trigger: str
    class_word: str

    def answers_to(self, text: str) -> bool:
        """Whether `text` names it: `ada/potter`, or `potter`."""
        return text in (self.name, self.name.partition("/")[2])


@dataclass(frozen=True)
class Target:
    """A package or a model folder, its label in the results, its concepts, its base's digest."""

    label: str
    path: Path
    concepts: tuple[Named, ...]
    base: str
    is_package: bool

    def find(self, name: str) -> Named | None:
        """The concept with this full name."""
        return next((item for item in self.concepts if item.name == name), None)


@dataclass(frozen=True)
class Plan:
    """The concepts that are evaluated, in which targets, and pictures that tuning never saw."""

    cases: tuple[ConceptCase, ...]
    packages: tuple[Target, ...]
    models: tuple[Target, ...]
    held_out: Mapping[str, Dataset]

    @property
    def needs_base(self) -> bool:
        """Whether there is something that only stands on a base model."""
        return bool(self.packages or self.held_out)


def read_target(path: Path, label: str | None = None) -> Target:
    """Read what a folder says of itself; raise `InvalidRequest` when it is no target."""
    label = label or path.resolve().name
    if (path / MANIFEST_FILE).is_file():
        manifest = read_manifest(path)
        named = Named(manifest.concept, manifest.trigger, manifest.class_word)
        return Target(label, path, (named,), manifest.base.digest, is_package=True)
    if (path / CONCEPTS_INDEX).is_file():
        index = open_published(path).index
        return Target(label, path, _published(index), index.base.digest, is_package=False)
    raise InvalidRequest(
        f"{path} is neither a concept package nor a published model.",
        hint=f"Give a folder with {MANIFEST_FILE} (from `tune`) or {CONCEPTS_INDEX} (from `pull`).",
    )


def make_plan(
    targets: Sequence[Target],
    pictures: Sequence[str],
    held_out: Sequence[str] = (),
    prompts: str | None = None,
) -> Plan:
    """Put the evaluation together; raise `InvalidRequest` for whatever is wrong or missing.

    `pictures` and `held_out` are `NAME=DIR`, or `DIR` where the targets have only one concept;
    those that `pictures` names are evaluated, every package among them.
    """
    if not targets:
        raise InvalidRequest("Nothing to evaluate.", hint="Give packages or model folders.")
    _check_apart(targets)
    folders = _by_concept(targets, pictures)
    for target in targets:
        missing = [item.name for item in target.concepts if item.name not in folders]
        if missing and (target.is_package or not folders):
            raise InvalidRequest(
                f"There are no pictures to compare {missing[0]} with.",
                hint=f"Name the folder that it was tuned on: --concept {missing[0]}=DIR.",
            )
    cases = tuple(_case(targets, name, folder, prompts) for name, folder in folders.items())
    unseen = {
        name: read_dataset(folder, _named(targets, name).trigger.split())
        for name, folder in _by_concept(targets, held_out).items()
    }
    strays = sorted(unseen.keys() - folders.keys())
    if strays:
        raise InvalidRequest(
            f"{strays[0]} has held-out pictures, but is not evaluated.",
            hint=f"Name its tuning pictures too: --concept {strays[0]}=DIR.",
        )
    packages = tuple(item for item in targets if item.is_package)
    models = tuple(item for item in targets if not item.is_package)
    return Plan(cases, packages, models, unseen)


def _published(index: ConceptsIndex) -> tuple[Named, ...]:
    """Versions are left out of the names, but where a model has two of one concept."""
    names = [item.name.partition("@")[0] for item in index.concepts]
    return tuple(
        Named(name if names.count(name) == 1 else item.name, item.trigger, item.class_word)
        for name, item in zip(names, index.concepts, strict=True)
    )


def _check_apart(targets: Sequence[Target]) -> None:
    """Results are told apart by the label of a model, and by the concept of a package."""
    keys = [item.concepts[0].name if item.is_package else item.label for item in targets]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise InvalidRequest(
            f"There are two targets called {twice}.", hint="Give one of them, or rename a folder."
        )


def _case(targets: Sequence[Target], name: str, folder: Path, prompts: str | None) -> ConceptCase:
    named = _named(targets, name)
    pictures = read_dataset(folder, named.trigger.split()).pictures
    return ConceptCase(
        name,
        named.trigger,
        named.class_word,
        choose_prompts(prompts, named.class_word),
        tuple(picture.path for picture in pictures),
    )


def _named(targets: Sequence[Target], name: str) -> Named:
    return next(item for target in targets for item in target.concepts if item.name == name)


def _by_concept(targets: Sequence[Target], given: Sequence[str]) -> dict[str, Path]:
    """Full name of the concept → folder."""
    names = list(dict.fromkeys(item.name for target in targets for item in target.concepts))
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.rpartition("=")
        full = _full_name(targets, name) if equals else _only(names, folder)
        if full in found:
            raise InvalidRequest(f"{full} is given two folders.", hint="Give it one.")
        found[full] = Path(folder)
    return found


def _full_name(targets: Sequence[Target], name: str) -> str:
    concepts = [item for target in targets for item in target.concepts]
    found = dict.fromkeys(item.name for item in concepts if item.answers_to(name))
    if len(found) == 1:
        return next(iter(found))
    known = ", ".join(dict.fromkeys(item.name for item in concepts))
    told = f"{name!r} could be {' or '.join(found)}." if found else f"No target has {name!r}."
    raise InvalidRequest(told, hint=f"Concepts: {known}.")


def _only(names: Sequence[str], folder: str) -> str:
    if len(names) == 1:
        return names[0]
    raise InvalidRequest(
        f"It is not said which concept {folder} shows.",
        hint=f"Write NAME={folder}; concepts: {', '.join(names)}.",
    )
