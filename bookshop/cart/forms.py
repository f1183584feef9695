"""Forms of the cart."""
