"""Tests of `api/endpoints/`: the views at each path."""
