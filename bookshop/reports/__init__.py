"""What staff want to know of stock, reservations and orders together."""
