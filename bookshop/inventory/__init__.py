"""The shared inventory service: stock and its ledger; no face of its own."""
