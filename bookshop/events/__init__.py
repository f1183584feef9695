"""What happened in the shop, written in the transaction in which it did; read by the feed."""
