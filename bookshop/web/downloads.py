"""Tables as files to download: CSV is sent while it is read, an Excel file when it is complete."""

from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryFile

from flask import send_file, stream_with_context
from werkzeug.wrappers import Response

from bookshop.bookfiles.writing import Rows, csv_rows, write_xlsx
from bookshop.extensions import db

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def csv_download(name: str, header: Sequence[str], rows: Rows) -> Response:
    """Return a CSV file. The session of the request is closed before `rows` is read, so it must use its own ones."""
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return Response(stream_with_context(csv_rows(header, rows)), mimetype="text/csv", headers=headers)


def xlsx_download(name: str, header: Sequence[str], rows: Rows) -> Response:
    """Return an Excel file; `rows` must use sessions of its own, like those of a CSV file. Raises Invalid."""
    db.session.rollback()  # gives the connection back: the file may take a minute
    with ExitStack() as stack:
        file = stack.enter_context(TemporaryFile())
        write_xlsx(file, header, rows)
        stack.pop_all()
    size = file.tell()
    file.seek(0)
    response = send_file(file, XLSX, as_attachment=True, download_name=name)
    response.content_length = size
    return response
