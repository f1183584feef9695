"""Placing an order, which takes its copies out of stock, and cancelling it, which returns them."""
