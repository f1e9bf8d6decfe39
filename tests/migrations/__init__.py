"""Tests of `migrations/`: up from every release, and down again."""
