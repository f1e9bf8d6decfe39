"""Tests of `api/db/`: how rows are reached."""
