"""Tests of `api/query/`: the query language and its SQL."""
