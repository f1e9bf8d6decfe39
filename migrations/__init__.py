"""The schema and the facts, as revisions that can be replayed from an empty database."""
