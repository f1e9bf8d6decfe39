"""What was published: the revisions, the feed, history, the digest and their check."""
