"""Tests of `api/webhooks/`: who is told, and how."""
