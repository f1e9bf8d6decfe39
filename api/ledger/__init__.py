"""The ledger of what was published: publication, history, the feed, the digest, the indexes, and their verification."""
