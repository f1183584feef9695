"""What a WSGI server and the `flask` command load."""

from bookshop import create_app

app = create_app()
