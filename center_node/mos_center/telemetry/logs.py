"""Log lines for people or for programs, from calls like `log.info("event.name key=%s", value)`.

The template of such a call is static, so its event and fields can be read from it; a line of a
library has its whole text as `message` instead.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from mos_center.domain.request_context import request_id

_EVENT = re.compile(r"[a-z_-]+(\.[a-z_-]+)+(?= |$)", re.ASCII)
_FIELD = re.compile(r"(\w+)=%[-+ #0-9.]*[sdrfg]", re.ASCII)
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_SECRETS = (
    (re.compile(r"\bmos_[A-Za-z0-9_-]{8,}"), "mos_…"),
    (re.compile(r"(?i)\b(bearer) +[^\s\"']+"), r"\1 …"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), r"\1:…@"),
    (re.compile(r"(?i)\b(x-amz-(?:signature|credential|security-token)=)[^&\s\"']+"), r"\1…"),
)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **_event(record),
            "logger": record.name,
            "role": self._role,
            "request_id": request_id.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return masked(json.dumps(line, default=str, ensure_ascii=False))


class TextLines(logging.Formatter):
    """One line for people, with the request's id at its end."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        told = super().formatMessage(record)
        identifier = request_id.get()
        return f"{told} request_id={identifier}" if identifier else told

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def configure_logs(
    level: str, form: Literal["text", "json"], role: str, stream: TextIO | None = None
) -> None:
    """Have every log line of this process written to `stream`, standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(role) if form == "json" else TextLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Their lines per request, and at every start, say nothing that ours do not.
    for chatty in ("httpx", "httpcore", "urllib3", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def masked(text: str) -> str:
    """The text without tokens, passwords and signatures, should code ever log one."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def _event(record: logging.LogRecord) -> dict[str, object]:
    template = record.msg if isinstance(record.msg, str) else ""
    found = _EVENT.match(template)
    if found is None:
        return {"event": "message", "message": record.getMessage()}
    names = _FIELD.findall(template)
    values = record.args if isinstance(record.args, tuple) else ()
    if len(names) != len(values):
        return {"event": found[0], "message": record.getMessage()}
    return {"event": found[0], "fields": dict(zip(names, map(_plain, values), strict=True))}


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
