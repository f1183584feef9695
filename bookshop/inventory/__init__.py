"""The shared inventory service: stock and the stock ledger."""
