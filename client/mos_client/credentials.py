"""The centers that this user joined: addresses and tokens, in a file that only the user can read.

Each center keeps its token, the member's name, and the CA that its certificate came from. One of
them is the default, which commands use when no center is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mos_protocol.errors import InvalidRequest, MosError, NotFound
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = "credentials.json"


class SavedCenter(BaseModel):
    """A center that this user is a member of; client certificates stay where they are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    member: str
    token: str = Field(repr=False)
    token_id: str = ""
    ca: str | None = Field(default=None, repr=False)
    client_cert: Path | None = None
    client_key: Path | None = None


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    default: str | None = None
    centers: tuple[SavedCenter, ...] = ()


@dataclass(frozen=True)
class Credentials:
    """The file in `folder`; every call reads it anew, every change replaces it as a whole."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / FILE

    def all(self) -> tuple[SavedCenter, ...]:
        """Every center, by address."""
        return self._read().centers

    def default(self) -> SavedCenter | None:
        """The center that is meant when none is named."""
        content = self._read()
        return next((item for item in content.centers if item.url == content.default), None)

    def find(self, url: str) -> SavedCenter | None:
        """What is saved for the center at `url`."""
        return next((item for item in self.all() if item.url == url), None)

    def save(self, center: SavedCenter) -> None:
        """Add or replace a center and make it the default."""
        others = (item for item in self.all() if item.url != center.url)
        centers = sorted((*others, center), key=lambda item: item.url)
        self._write(_Content(default=center.url, centers=tuple(centers)))

    def use(self, url: str) -> SavedCenter:
        """Make a saved center the default; raises `NotFound`."""
        found = self.find(url)
        if found is None:
            raise NotFound(
                f"You have not joined {url}.", hint="`mos-client centers` lists those you have."
            )
        self._write(self._read().model_copy(update={"default": url}))
        return found

    def remove(self, url: str) -> None:
        """Forget a center; the first of the others becomes the default if it was that."""
        content = self._read()
        left = tuple(item for item in content.centers if item.url != url)
        default = content.default
        if default == url:
            default = left[0].url if left else None
        self._write(_Content(default=default, centers=left))

    def check_writable(self) -> None:
        """Raise `MosError` unless something can be saved: a token is told only once."""
        with self._told_as_mos_error():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        self._read()

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return _Content()
        except OSError as error:
            raise MosError(f"{self.path} can't be read: {error.strerror}.") from None
        except ValidationError:
            raise InvalidRequest(
                f"{self.path} is damaged.",
                hint="Mend or remove it; then join again, or log in with a token of yours.",
            ) from None

    def _write(self, content: _Content) -> None:
        document = json.dumps(content.model_dump(mode="json"), indent=1)
        with self._told_as_mos_error():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made for its owner alone (0600), and complete before it has its name.
            handle, name = tempfile.mkstemp(prefix=FILE, dir=self.folder)
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(document)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise

    @contextlib.contextmanager
    def _told_as_mos_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MosError(
                f"Nothing can be saved in {self.folder}: {error.strerror}.",
                hint="Make it writable, or name another folder with MOS_CONFIG_DIR.",
            ) from None
