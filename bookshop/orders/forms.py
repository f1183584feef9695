"""The form of the checkout."""
