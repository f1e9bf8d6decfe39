"""Attacks on a real server process: a client that holds connections, threads or places must not block others."""
