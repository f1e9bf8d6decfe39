"""Tests of `README.md` and `docs/`: the pages' programs and commands work as documented."""
