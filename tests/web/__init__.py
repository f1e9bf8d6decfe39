"""Tests of `api/web/`: behaviour that all endpoints share."""
