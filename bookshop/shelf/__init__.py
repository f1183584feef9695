"""The shelf: what goes onto it and off it, and who is told. Above stock, reservations and alerts, it joins them."""
