"""What the model libraries print by themselves: it would tear our own progress apart."""

from __future__ import annotations


def hush_libraries() -> None:
    """Switch off the libraries' warnings and loading bars; bars of downloads stay.

    To be called before anything else imports diffusers, which warns while it is imported.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
