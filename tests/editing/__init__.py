"""Tests of `api/editing/`: how records change."""
