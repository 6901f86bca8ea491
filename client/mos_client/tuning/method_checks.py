"""Settings that mean nothing for a method are refused, rather than left unheeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mos_protocol.errors import InvalidRequest
from mos_protocol.methods import METHODS, adapted_parts
from mos_protocol.parts import Part

if TYPE_CHECKING:
    from mos_client.tuning.settings import TuningSettings


def check_method(settings: TuningSettings) -> None:
    """Raise `InvalidRequest` for settings that don't go with their method."""
    method = METHODS[settings.method]
    if method.one_word and len(settings.words) > 1:
        raise InvalidRequest(
            f"{method.name} teaches one word, and {' '.join(settings.words)} are "
            f"{len(settings.words)}.",
            hint=_HOW_NAMED[method.modifier],
        )
    if settings.layers not in method.layers:
        raise InvalidRequest(
            f"{method.name} can't be tuned with layers {settings.layers!r}.",
            hint=f"It knows {', '.join(method.layers)}.",
        )
    _check_rank(settings)
    _check_rates(settings)
    if settings.layers == "none":
        _check_embeddings_alone(settings)
    for name in ("embedding_first", "kv_drop"):
        if getattr(settings, name) == 1:
            raise InvalidRequest(
                f"With {name} 1 no layer would ever be tuned.", hint="Give less than 1."
            )


def _check_rank(settings: TuningSettings) -> None:
    method = METHODS[settings.method]
    if method.low_rank and settings.rank == 0:
        raise InvalidRequest("rank is 0.", hint="It must be from 1 to 256.")
    if settings.rank and not method.low_rank:
        what = "changes layers in full" if method.full_rank else "changes no layers"
        raise InvalidRequest(
            f"{method.name} {what}: rank {settings.rank} means nothing.", hint="Leave it out."
        )


def _check_rates(settings: TuningSettings) -> None:
    parts = adapted_parts(settings.method)
    rates = settings.learning_rates
    unused = (
        ("text_encoder", rates.text_encoder, Part.TEXT_ENCODER not in parts),
        ("unet", rates.unet, Part.CROSS_KV not in parts),
    )
    for name, rate, idle in unused:
        if rate and idle:
            raise InvalidRequest(
                f"{settings.method} tunes no layer of the {name.replace('_', ' ')}: its learning "
                f"rate {rate:g} means nothing.",
                hint="Leave it out.",
            )


def _check_embeddings_alone(settings: TuningSettings) -> None:
    """Refuse what only layers have a use for, and a stop that would leave nothing to tune."""
    for name in ("prior_penalty", "embedding_first", "kv_drop", "embedding_norm_stop"):
        if getattr(settings, name):
            raise InvalidRequest(
                f"{settings.method} tunes embeddings alone: {name} means nothing.",
                hint="Leave it out.",
            )


_HOW_NAMED = {
    False: 'Give one word, for example "<potter>".',
    True: 'Give one word, for example "<new1>"; prompts say it before the class word.',
}
