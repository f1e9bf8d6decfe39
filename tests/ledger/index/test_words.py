"""Words: folding of characters, and its cost."""

import tracemalloc
from collections.abc import Callable

from api.ledger.index.words import fold


def memory(work: Callable[[], object]) -> int:
    """Return the bytes that remain taken after some work, with its result."""
    tracemalloc.start()
    try:
        result = work()
        kept, _ = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return kept


def test_folded_characters_take_little_memory() -> None:
    """Folding characters of most scripts takes little memory; the control, a cache of all of them, takes more."""
    codes, before = range(0x10000), fold("ÀÉ'Ω")

    def fold_all() -> None:
        for code in codes:
            fold(chr(code))

    assert memory(fold_all) < 2_000_000
    assert memory(lambda: {code: fold(chr(code)) for code in codes}) > 4_000_000
    assert fold("ÀÉ'Ω") == before == "ae'ω"
