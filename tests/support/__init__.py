"""Test support: databases, clients, servers, races and kills."""
