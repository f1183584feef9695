"""Count attempts to log in or to request e-mails, across all processes of the shop."""
