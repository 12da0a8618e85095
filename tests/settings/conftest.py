import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BASE = Path(__file__).resolve().parents[2] / "settings" / "base.py"


@pytest.fixture
def read_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Reads all settings from the environment, as a new process would."""

    def read() -> dict[str, Any]:
        for name in [name for name in sys.modules if name.startswith("settings.subjects.")]:
            monkeypatch.delitem(sys.modules, name)
        return runpy.run_path(str(BASE))

    return read
