"""The shared inventory service: stock and its ledger."""
