"""Data sets as files, and the fingerprints of their values."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def value_sha256(value: str) -> str:
    """Return the fingerprint of a value as the data set writes it."""
    return hashlib.sha256(value.encode()).hexdigest()


def read(text: str) -> Mapping[str, Mapping[str, str]]:
    """Return the values of a data set by record and column, as they are written. Raises ValueError for another text.

    It is a JSON object of objects by the ids of records, or CSV with a header and the ids in its first column.
    """
    if text.lstrip()[:1] not in {"{", "["}:
        try:
            rows = csv.DictReader(io.StringIO(text))
            first = (rows.fieldnames or [""])[0]
            return {row[first]: row for row in rows}
        except csv.Error as error:
            raise ValueError(str(error)) from None
    records = json.loads(text, parse_int=str, parse_float=str)
    if not isinstance(records, dict) or not all(isinstance(record, dict) for record in records.values()):
        raise ValueError("a JSON object with an object for each record is needed")
    return {
        id: {column: value if isinstance(value, str) else json.dumps(value) for column, value in record.items()}
        for id, record in records.items()
    }


def check(values: Mapping[str, Mapping[str, str]], citations: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each citation whose value is missing, or has another fingerprint."""
    for row in citations:
        value = values.get(row["locator_record"], {}).get(row["locator_column"])
        place = f"citations/{row['id']}: {row['locator_record']}, {row['locator_column']}"
        if value is None:
            yield f"{place}: the data set has no such value"
        elif value_sha256(value) != row["value_sha256"]:
            yield f"{place}: the value has another fingerprint"
