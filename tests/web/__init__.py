"""Tests of `api/web/`: what every endpoint shares."""
