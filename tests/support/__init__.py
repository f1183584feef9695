"""What the tests stand on: databases, users of the shop, servers, races and kills."""
