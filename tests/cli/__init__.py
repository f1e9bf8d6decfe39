"""Tests of `api/cli/`: the operators' commands."""
