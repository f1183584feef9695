"""The reference catalogue: titles that are not on sale, from which new books in a delivery are filled in."""
