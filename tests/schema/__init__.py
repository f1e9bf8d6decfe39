"""Tests of `api/schema/`: how nouns are declared."""
