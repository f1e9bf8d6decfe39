"""The schema and the facts, as a history that replays from empty."""
