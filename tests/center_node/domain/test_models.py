from __future__ import annotations

from mos_center.domain.models import Export
from mos_diffusion.formats import EXPORTS


def test_every_format_that_can_be_asked_for_can_be_written() -> None:
    assert {export.value for export in Export} == set(EXPORTS)
