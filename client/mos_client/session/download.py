"""Fetching a model version: files by content into a folder that appears complete or not at all.

Beside the folder OUT lies OUT.partial while a download runs. It survives an interruption, and the
next run goes on inside the very file that was being read. Every file is checked against its sha256;
the last act is a rename.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Protocol

from mos_protocol.errors import Conflict, InvalidRequest, MosError, Unavailable
from mos_protocol.manifest import sha256_of

from mos_client.session.results import ModelFile, ModelVersion, TransferProgress
from mos_client.session.retry import PASSING, Backoff, Patience
from mos_client.session.upload import OnTransfer, ignore_transfer

RECORD = ".mos-model.json"
_PARTS = ".parts"


class Body(Protocol):
    """A reply whose body is read in pieces; `offset` is where in the file it starts."""

    offset: int

    def pieces(self) -> Iterator[bytes]: ...


class FileSource(Protocol):
    """Where the bytes of a model version come from."""

    def open(self, file: ModelFile, offset: int) -> AbstractContextManager[Body]: ...


class Download:
    """One run of fetching `version` into the folder `out`."""

    def __init__(
        self,
        version: ModelVersion,
        out: Path,
        source: FileSource,
        on_progress: OnTransfer = ignore_transfer,
        backoff: Backoff | None = None,
    ) -> None:
        check_paths(version.files)
        self._version = version
        self._out = out
        self._source = source
        self._on_progress = on_progress
        self._backoff = backoff or Backoff()
        self._staging = out.with_name(f"{out.name}.partial")
        self._total = sum(file.size for file in version.files)
        self._done = 0

    def run(self) -> Path:
        """Fetch what is missing and put the folder in place. Raises `Conflict`, `Unavailable`."""
        if is_complete(self._out, self._version):
            self._report(self._total, "")
            return self._out
        check_replaceable(self._out)
        self._clear_staging()
        known = {file.sha256: file for file in reversed(self._version.files)}
        for file in self._version.files:
            self._place(file, known[file.sha256])
        self._finish()
        return self._out

    def _clear_staging(self) -> None:
        """Drop what an interrupted download of another version left there."""
        parts = self._staging / _PARTS
        parts.mkdir(parents=True, exist_ok=True)
        wanted = {file.path for file in self._version.files}
        wanted |= {f"{_PARTS}/{file.sha256}" for file in self._version.files}
        for stranger in files_of(self._staging) - wanted:
            (self._staging / stranger).unlink()
        folders = [path for path in self._staging.rglob("*") if path.is_dir() and path != parts]
        for folder in sorted(folders, reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def _place(self, file: ModelFile, first: ModelFile) -> None:
        target = self._staging / file.path
        if not is_same(target, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            here = (self._out / file.path, self._staging / first.path)
            copy = next((path for path in here if is_same(path, file)), None)
            if copy:
                _copy(copy, target)
            else:
                self._fetch(file).replace(target)
        self._done += file.size
        self._report(self._done, file.path)

    def _fetch(self, file: ModelFile) -> Path:
        part = self._staging / _PARTS / file.sha256
        patience = Patience(self._backoff)
        damaged = False
        while True:
            before = _size(part)
            try:
                self._read_on(file, part)
            except PASSING as error:
                if _size(part) > before:
                    patience.restore()
                patience.lose(error)
                continue
            if is_same(part, file):
                return part
            part.unlink(missing_ok=True)
            if damaged:
                raise MosError(
                    f"{file.path} of {self._version.ref} arrived damaged, twice.",
                    hint="Ask the center's operator to check its storage.",
                )
            damaged = True

    def _read_on(self, file: ModelFile, part: Path) -> None:
        """Append to `part` from where it ends; too long a body is cut at one byte too many."""
        have = _size(part)
        if have >= file.size > 0:
            return
        with self._source.open(file, have) as body, part.open("r+b" if have else "wb") as target:
            target.seek(body.offset)
            target.truncate()
            have = body.offset
            for piece in body.pieces():
                target.write(piece)
                have += len(piece)
                self._report(self._done + min(have, file.size), file.path)
                if have > file.size:
                    return
        if have < file.size:
            raise Unavailable(f"The center broke off in the middle of {file.path}.")

    def _finish(self) -> None:
        shutil.rmtree(self._staging / _PARTS)
        (self._staging / RECORD).write_text(_record(self._version), encoding="utf-8")
        old = self._out.with_name(f"{self._out.name}.old")
        if self._out.exists():
            shutil.rmtree(old, ignore_errors=True)
            self._out.rename(old)
        self._staging.rename(self._out)
        shutil.rmtree(old, ignore_errors=True)

    def _report(self, done: int, path: str) -> None:
        self._on_progress(TransferProgress(done, self._total, path))


def check_paths(files: tuple[ModelFile, ...]) -> None:
    """Refuse a version whose paths could leave its folder or collide in it."""
    seen: set[str] = set()
    for file in files:
        parts = file.path.split("/")
        wrong = any(part in ("", ".", "..") or part == _PARTS for part in parts)
        if wrong or file.path == RECORD or any(char in file.path for char in "\\:\0\n\r\x1b"):
            raise InvalidRequest(
                f"The center lists a file at {file.path!r}, which is no place in a folder.",
                hint="Nothing was fetched. Is this the center you meant?",
            )
        if file.path in seen:
            raise InvalidRequest(f"The center lists {file.path!r} twice.", hint="Ask its operator.")
        seen.add(file.path)
    folders = {str(parent) for path in seen for parent in PurePosixPath(path).parents}
    if clash := sorted(folders & seen):
        raise InvalidRequest(f"The center lists {clash[0]!r} as both a file and a folder.")


def is_same(path: Path, file: ModelFile) -> bool:
    """Whether `path` holds exactly this file."""
    return (
        path.is_file()
        and not path.is_symlink()
        and path.stat().st_size == file.size
        and sha256_of(path) == file.sha256
    )


def is_complete(folder: Path, version: ModelVersion) -> bool:
    """Whether `folder` is this version, file by file, and holds nothing else."""
    if not folder.is_dir():
        return False
    wanted = {file.path for file in version.files} | {RECORD}
    return files_of(folder) <= wanted and all(
        is_same(folder / file.path, file) for file in version.files
    )


def check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder with anything in it that no earlier download put there."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise Conflict(f"{folder} is no folder.", hint="Give another --out.")
    strangers = sorted(files_of(folder) - recorded_files(folder))
    if strangers:
        raise Conflict(
            f"{folder} holds {strangers[0]!r}, which is not from a download "
            f"({len(strangers)} such files in all).",
            hint="Give another --out, or move those files away.",
        )


def files_of(folder: Path) -> set[str]:
    """Relative paths of everything in the folder that is no folder itself."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def recorded_files(folder: Path) -> set[str]:
    """What the record of an earlier download says it put there; nothing without a record."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {str(path) for path in record["files"]} | {RECORD}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _record(version: ModelVersion) -> str:
    """What was fetched, for the next download into the same folder and for curious people."""
    told = version.model_dump(mode="json", exclude={"files", "aliases"})
    return json.dumps(told | {"files": [file.path for file in version.files]}, indent=1) + "\n"


def _copy(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.copy")
    shutil.copyfile(source, beside)
    os.replace(beside, target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
