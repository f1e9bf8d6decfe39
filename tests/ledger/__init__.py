"""Tests of `api/ledger/`: what was published."""
