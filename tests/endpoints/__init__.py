"""Tests of `api/endpoints/`: what is at which path."""
