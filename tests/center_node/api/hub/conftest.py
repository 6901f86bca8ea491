from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hub_model import demo as demo
from hub_model import files as files
from hub_model import tiny_folder as tiny_folder
from hub_model import token as token
from hub_model import tools as tools
