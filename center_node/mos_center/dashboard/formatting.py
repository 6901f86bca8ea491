"""How values are written on pages: times, sizes, shares, addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

_UNITS = ("B", "kB", "MB", "GB", "TB")
_SPANS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (30 * 86_400, 86_400, "d"))


def size(count: float) -> str:
    """Bytes as people read them: 1.2 MB."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.5 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """How long: 12 s, 4 min, 3 h, 2 d."""
    whole = max(0, round(seconds))
    for limit, unit, name in _SPANS:
        if whole < limit:
            return f"{whole // unit} {name}"
    return f"{whole // 86_400} d"


def when(moment: datetime, now: datetime | None = None) -> Markup:
    """A moment as how long ago it was, with the date to hover over; older ones as the date."""
    now = now or datetime.now(UTC)
    seconds = (now - moment).total_seconds()
    told = f"{moment:%Y-%m-%d}"
    if abs(seconds) < 30 * 86_400:
        told = f"in {span(-seconds)}" if seconds < -1 else f"{span(seconds)} ago"
    if -1 <= seconds < 2:
        told = "just now"
    return _time(moment, told)


def moment(moment: datetime) -> Markup:
    """A moment in full: date, time, UTC."""
    return _time(moment, f"{moment:%Y-%m-%d %H:%M:%S}")


def clock(moment: datetime) -> Markup:
    """The time of day of a moment, for lines of a log."""
    return _time(moment, f"{moment:%H:%M:%S}")


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage; 1 is 100 %."""
    # Adding nothing makes a negative zero a zero.
    return f"{round(100 * share, digits) + 0.0:.{digits}f} %"


def heat(share: float) -> str:
    """The class that colours a share kept, from 0 (nothing) to 1: `heat-0` … `heat-10`."""
    return f"heat-{round(10 * min(1.0, max(0.0, share)))}"


def number(value: float) -> str:
    """A number to four digits."""
    return f"{value:.4g}"


def count(value: int) -> str:
    """A whole number with thin gaps: 12 345."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(value: int, one: str, many: str = "") -> str:
    """The number with its noun: 1 concept, 2 concepts."""
    return f"{count(value)} {one if value == 1 else many or f'{one}s'}"


def words(text: str) -> str:
    """An identifier as words: pending_review → pending review."""
    return text.replace("_", " ").replace("-", " ")


def url(text: object) -> str:
    """A part of a path, quoted; slashes stay."""
    return quote(str(text), safe="/@")


def link(path: str, **query: object) -> str:
    """A path with those parameters that are not empty."""
    given = [(key, value) for key, value in query.items() if value not in (None, "", [], ())]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _time(moment: datetime, told: str) -> Markup:
    full = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        full.isoformat(timespec="seconds"), f"{full:%Y-%m-%d %H:%M:%S}", escape(told)
    )


FILTERS = {
    "size": size,
    "span": span,
    "when": when,
    "moment": moment,
    "clock": clock,
    "percent": percent,
    "heat": heat,
    "number": number,
    "count": count,
    "words": words,
    "url": url,
    "plural": plural,
}
