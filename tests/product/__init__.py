"""Tests of the whole product: promises that hold for every noun, every request or every order of events."""
