"""Attacks on a real server process: whoever holds connections, threads or places must not keep others from being answered."""
