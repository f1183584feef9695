"""How often somebody has tried to log in or to have an e-mail sent, counted for all processes of the shop together."""
