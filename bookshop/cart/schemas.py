"""The shape of carts in JSON."""
