"""The tests, in folders like those of `api/`; helpers that several of them use are in `tests/support/`."""
