"""The settings that a center runs with, as admins may see them: nothing that opens a door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pydantic import SecretStr

from mos_center.settings import PREFIX, Settings

# Names an account; together with a secret that is guessed or stolen it lets somebody in.
_ACCOUNTS = frozenset({"s3_access_key"})
HIDDEN = "set, not shown"


@dataclass(frozen=True)
class SettingInForce:
    """One setting: `value` is as an environment would hold it, or says that it is not shown."""

    name: str
    value: str
    description: str
    is_default: bool
    is_hidden: bool


def settings_in_force(settings: Settings) -> Sequence[SettingInForce]:
    """Every setting in the order of its definition; secrets, accounts and URLs are not shown."""
    found = []
    for name, definition in type(settings).model_fields.items():
        value = getattr(settings, name)
        hidden = _opens_a_door(name, value)
        found.append(
            SettingInForce(
                name=f"{PREFIX}{name.upper()}",
                value=HIDDEN if hidden else _text(value),
                description=definition.description or "",
                is_default=value == definition.default,
                is_hidden=hidden,
            )
        )
    return found


def _opens_a_door(name: str, value: object) -> bool:
    if isinstance(value, SecretStr):
        return bool(value.get_secret_value())
    # Addresses may hold passwords.
    return bool(value) and (name in _ACCOUNTS or "://" in str(value))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
