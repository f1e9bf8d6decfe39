"""Tests of `bench/`: generated databases and the tables of results."""
