"""The canonical form of documents."""

from typing import Any

import rfc8785
from hypothesis import example, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from api.schema.canonical import canonical
from tests.support.lengths import examples

SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.text(), st.integers(1 - 2**53, 2**53 - 1), st.floats(allow_nan=False, allow_infinity=False))
)
VALUES = st.recursive(SCALARS, lambda below: st.one_of(st.lists(below), st.dictionaries(st.text(), below)), max_leaves=12)


@limits(max_examples=examples(500), deadline=None)
@given(value=VALUES)
@example(value={"\ue000": 1, "\U00010000": 2})
@example(value=[0.001, 0.0009999999999999998, 999999999999999.9, 1e15, 5e14 + 0.5, -0.25, 2**53 - 1])
@example(value=['\x00\x1f\x7f\u2028"\\/\ud7ff\uffff', 1e21, 1e-7, -0.0, 1.0])
def test_documents_have_their_canonical_form(value: Any) -> None:
    """Each value has the bytes that RFC 8785 gives it, whichever library writes it."""
    assert canonical({"member": value}) == b'{"member":%b}' % rfc8785.dumps(value)
