"""Tests of `clients/`, and of clients that other programs generate from the OpenAPI document."""
