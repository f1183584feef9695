"""Files for running the shop in production, and the proof that they work."""
