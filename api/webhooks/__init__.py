"""Who is told: subscriptions, delivery, and the guarded POST."""
