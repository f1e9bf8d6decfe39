"""The two clients that keep a copy, and the values that they are most likely to get wrong."""

import importlib.util
from pathlib import Path
from typing import Any

from api.settings import ROOT
from tests.support.answers import Json

PYTHON, JAVASCRIPT = ROOT / "clients" / "python" / "digital_cities.py", ROOT / "clients" / "javascript" / "digital-cities.mjs"


def load(file: Path) -> Any:
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = load(PYTHON)


# --- bytes


TEXTS = (
    [chr(code) for code in [*range(1, 0x20), *range(0x7F, 0xA1), 0xAD, 0x200B, 0x200D, 0x2028, 0x2029, 0xFEFF]]
    + [f"{chr(code)}." for code in (0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F600, 0x10FFFF, 0x10000)]
    + ['"', "\\", '\\"', "\\u0041", "\\ud800", "/", "</script>", "'", "`${x}`", "%00", "{}", "null", " ", "  two  spaces  "]
    + ["\u00e9", "e\u0301", "\u1e9b\u0323", "\ufb01", "\u0130", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0939\u093f\u0928"]
    + ["\u05d0\u05d1 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u202eabc\u202c", "\u202d\u2066x\u2069", "\U0001d11e", "\u0000".replace("\0", "\r\n")]
)  # fmt: skip
FIGURES = [
    "0", "-0", "-0.0", "0.0", "1e0", "1E3", "2.5e3", "1.0", "10", "100.50", "1e-6", "-1e-6", "0.000001", "0.00001", "0.0001",
    "0.1", "0.7", "-0.5", "0.999999", "0.123456", "1.5", "1.000001", "123456.654321", "123456789.123456", "8589934592.5",
    "1000000000000000.5", "4503599627370495.5", "99999999999.1", "9007199254740991", "-9007199254740991", "9007199254740990",
    "1e15", "123e-6", "33.333333", "-273.15", "2400000",
]  # fmt: skip


def initiative(id: str, **members: Any) -> Json:
    """Return an initiative to create."""
    return {"id": id, "city": "boston-ma", "title": id, "summary": "S", "status": "pilot", **members}
