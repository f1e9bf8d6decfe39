"""Tests of `README.md` and `docs/`: the programs and the commands on these pages do what the pages say."""
