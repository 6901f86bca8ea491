"""What every test shares: thread limits, and builders that several folders of tests need."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before torch is imported: two pools of spinning threads on few cores starve each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))
