"""Events: each is written in the same transaction as the change it records, and read by the feed."""
