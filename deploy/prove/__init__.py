"""The proof of docs/deploy.md: `python -m deploy.prove`."""
