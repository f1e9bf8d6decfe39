"""Writes the OpenAPI document that the release serves: `python -m api.endpoints`."""

from api.endpoints import DOCUMENT, described

DOCUMENT.write_bytes(described())
