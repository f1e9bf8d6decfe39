"""Tests of `seeds/`: the facts, before they are in a database."""
