"""Tests of `api/cli/`: what operators type."""
