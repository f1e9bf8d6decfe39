"""Databases of generated initiatives: the same records for the same number, on SQLite and on PostgreSQL."""

from bench.dataset.builder import build
from bench.dataset.store import DatasetStore

__all__ = ["DatasetStore", "build"]
