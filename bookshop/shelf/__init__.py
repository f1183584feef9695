"""The shelf: every change of stock with its alerts, and taking books off sale."""
