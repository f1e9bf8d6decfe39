"""How rows are reached: column types, engines, sessions, and the cache of built statements."""
