"""The tests, in the rooms of `api/` that they test; what several of them use is in `tests/support/`."""
