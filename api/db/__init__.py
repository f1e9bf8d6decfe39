"""Access to the rows: column types, dialects, engines, sessions, and the cache of built statements."""
