"""Reports for staff across stock, pre-bookings and orders."""
