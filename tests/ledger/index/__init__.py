"""Tests of `api/ledger/index/`: full text, words and bitmaps."""
