"""Tests of `api/query/`: what can be asked, and the SQL that answers it."""
