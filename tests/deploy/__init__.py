"""Tests of the package and of the files in `deploy/`."""
