"""The entry point for WSGI servers and the `flask` command."""

from bookshop import create_app

app = create_app()
