"""The checkout and its way back: placing an order takes copies off the shelf, cancelling it returns them."""
