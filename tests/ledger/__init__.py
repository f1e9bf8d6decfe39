"""Tests of `api/ledger/`: published history."""
