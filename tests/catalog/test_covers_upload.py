"""Uploaded covers: valid files, what is stored where, and who sees it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.catalog import pictures
from tests.support.clients import WebClient, text_of
from tests.support.factories import Shop
from tests.support.settings import settings_for
from tests.support.uploads import (
    PDF,
    SVG,
    ZIP,
    Upload,
    bomb,
    metadata,
    noise,
    plain,
    profile_with_red_and_blue_exchanged,
    saved,
    upright,
)

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"
EIGHT_MB = 8 * 1024 * 1024


class CoverStaff:
    """A member of staff on the cover pages, and the initially empty folder of covers."""

    def __init__(self, shop: Shop, browser: WebClient, folder: Path) -> None:
        self.shop, self.browser, self.folder = shop, browser, folder
        self.book_id = shop.book("Emma")

    def page(self, book_id: int | None = None) -> str:
        return f"/admin/books/{book_id or self.book_id}/cover"

    def upload(
        self, content: bytes, *, book_id: int | None = None, name: str = "cover.jpg", kind: str = "image/jpeg"
    ) -> TestResponse:
        return self.browser.submit(self.page(book_id), picture=(BytesIO(content), name, kind))

    def remove(self, book_id: int | None = None) -> TestResponse:
        return self.browser.submit(f"{self.page(book_id)}/remove", page=self.page(book_id))

    def cover(self, book_id: int | None = None) -> str | None:
        found: str | None = self.shop.rows("SELECT cover FROM books WHERE id = :id", id=book_id or self.book_id)[0]
        return found

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def stored(self, size: str = "large") -> tuple[bytes, Image.Image]:
        """Return the public file of the cover and the picture in it."""
        content = self.browser.get(f"/covers/{self.cover()}-{size}.webp").data
        return content, Image.open(BytesIO(content))

    def colour(self, at: tuple[int, int] = (50, 50)) -> Any:
        return self.stored()[1].convert("RGB").getpixel(at)


@pytest.fixture
def staff(app, shop, web_client):
    folder = Path(app.config["SETTINGS"].covers)
    for path in folder.iterdir():
        path.unlink()
    shop.staff(STAFF)
    return CoverStaff(shop, web_client(STAFF), folder)


def similar(colour: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two colours look the same; WebP is not lossless."""
    return all(abs(one - two) <= 4 for one, two in zip(colour, other, strict=True))


# ---------------------------------------------------------------- accepted pictures


GOOD = [
    ("JPEG", "RGB", (200, 30, 40), (200, 30, 40)),
    ("JPEG", "L", 90, (90, 90, 90)),
    ("JPEG", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ("PNG", "RGB", (200, 30, 40), (200, 30, 40)),
    ("PNG", "RGBA", (200, 30, 40, 255), (200, 30, 40)),
    ("PNG", "RGBA", (200, 30, 40, 0), (255, 255, 255)),
    ("PNG", "LA", (90, 0), (255, 255, 255)),
    ("PNG", "L", 90, (90, 90, 90)),
    ("PNG", "1", 1, (255, 255, 255)),
    ("PNG", "I;16", 90 * 256, (90, 90, 90)),
    ("WEBP", "RGB", (200, 30, 40), (200, 30, 40)),
    ("WEBP", "RGBA", (200, 30, 40, 0), (255, 255, 255)),
]


@pytest.mark.parametrize(("kind", "mode", "colour", "seen"), GOOD)
def test_every_picture_is_stored_as_webp_with_its_colours_on_white(staff, kind, mode, colour, seen):
    answer = staff.upload(saved(plain(colour, mode=mode), kind))
    assert (answer.status_code, staff.stored()[1].format, staff.stored()[1].size) == (
        303,
        "WEBP",
        (200, 300),
    )
    assert similar(staff.colour(), seen)


@pytest.mark.parametrize(("transparency", "seen"), [(None, (200, 30, 40)), (0, (255, 255, 255))])
def test_a_picture_with_a_palette_is_stored_with_its_colours_on_white(staff, transparency, seen):
    options = {} if transparency is None else {"transparency": transparency}
    staff.upload(saved(plain((200, 30, 40)).quantize(4), **options))
    assert similar(staff.colour(), seen)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_kept(staff, kind):
    staff.upload(saved(plain("red"), kind, save_all=True, append_images=[plain("blue")]))
    assert similar(staff.colour(), (255, 0, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_rotated_photo_is_turned_upright(staff, kind):
    staff.upload(saved(upright().transpose(Image.Transpose.ROTATE_90), kind, exif=metadata()))
    assert similar(staff.colour((50, 20)), (255, 0, 0))
    assert similar(staff.colour((50, 280)), (0, 0, 255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_no_metadata_of_the_uploaded_file_is_kept(staff, kind, size):
    profile, words = profile_with_red_and_blue_exchanged(), b"<x:xmpmeta>secret words</x:xmpmeta>"
    options = {} if kind == "PNG" else {"xmp": words}
    staff.upload(saved(plain(), kind, exif=metadata(), icc_profile=profile, **options) + b"secret words")
    content, picture = staff.stored(size)
    assert (b"secret words" in content, {"exif", "icc_profile", "xmp"} & set(picture.info)) == (False, set())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_embedded_colour_profiles_are_respected(staff, kind):
    staff.upload(saved(plain("red"), kind, icc_profile=profile_with_red_and_blue_exchanged()))
    assert similar(staff.colour(), (0, 0, 255))


def test_an_invalid_colour_profile_is_ignored(staff):
    staff.upload(saved(plain("red"), "JPEG", icc_profile=b"no profile at all"))
    assert similar(staff.colour(), (255, 0, 0))


def test_a_files_content_matters_and_not_its_name(staff):
    assert staff.upload(saved(plain(), "PNG"), name="../../cover.svg", kind="image/svg+xml").status_code == 303
    assert staff.files() == [f"{staff.cover()}-large.webp", f"{staff.cover()}-small.webp"]


@pytest.mark.prove
@pytest.mark.parametrize(("size", "box", "most"), [("small", (240, 360), 4_000), ("large", (600, 900), 40_000)])
def test_even_a_noisy_picture_keeps_its_size_limit_and_proportions(staff, size, box, most):
    staff.upload(saved(noise((1000, 1500)), "JPEG"))
    content, picture = staff.stored(size)
    assert (picture.width <= box[0], picture.height <= box[1], len(content) <= most) == (True, True, True)
    assert picture.width / picture.height == pytest.approx(1000 / 1500, rel=0.01)


@pytest.mark.parametrize(("given", "large", "small"), [
    ((150, 220), (150, 220), (150, 220)),
    ((2400, 1200), (600, 300), (240, 120)),
    ((1200, 3600), (300, 900), (120, 360)),
])  # fmt: skip
def test_a_picture_is_made_smaller_to_fit_and_never_larger(staff, given, large, small):
    staff.upload(saved(plain(size=given)))
    assert (staff.stored("large")[1].size, staff.stored("small")[1].size) == (large, small)


# ---------------------------------------------------------------- refused


NO_PICTURES = {
    "an SVG with a script": SVG,
    "a GIF": saved(plain(), "GIF"),
    "a BMP": saved(plain(), "BMP"),
    "a TIFF": saved(plain(), "TIFF"),
    "a PDF": PDF,
    "a page": b"<!doctype html><script>alert(1)</script>",
    "an archive": ZIP,
    "a text": b"Emma Woodhouse, handsome, clever, and rich",
    "nothing": b"",
    "the beginning of a JPEG": b"\xff\xd8\xff",
}
BROKEN = {kind: saved(noise((200, 300)), kind) for kind in ("JPEG", "PNG", "WEBP")}
REFUSED = {
    **{what: (content, pictures.NO_PICTURE) for what, content in NO_PICTURES.items()},
    **{f"half a {kind}": (content[: len(content) // 2], pictures.DAMAGED) for kind, content in BROKEN.items()},
    "50 megapixels": (bomb(10_000, 5_000), pictures.TOO_MANY_PIXELS),
    "2.5 gigapixels": (bomb(50_000, 50_000), pictures.TOO_MANY_PIXELS),
    "a JPEG of 41 megapixels": (saved(plain(size=(8200, 5000), mode="L", colour=0), "JPEG"), pictures.TOO_MANY_PIXELS),
    "99 pixels": (saved(plain(size=(99, 300))), pictures.TOO_SMALL),
    "a stamp": (saved(plain(size=(149, 149))), pictures.TOO_SMALL),
    "a banner": (saved(plain(size=(601, 200))), pictures.TOO_LONG),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused_with_one_sentence_and_nothing_is_stored(staff, what):
    content, sentence = REFUSED[what]
    answer = staff.upload(content)
    assert (answer.status_code, sentence in text_of(answer)) == (400, True)
    assert (staff.cover(), staff.files()) == (None, [])


@pytest.mark.parametrize("fields", [{}, {"picture": "a text"}, {"picture": (Upload(), "")}], ids=["none", "text", "-"])
def test_uploading_no_file_asks_for_one(staff, fields):
    answer = staff.browser.submit(staff.page(), **fields)
    assert (answer.status_code, "Choose a file." in text_of(answer)) == (400, True)


def test_a_file_in_place_of_the_csrf_token_is_an_invalid_token(staff):
    fields = {"csrf_token": (BytesIO(b"x"), "token"), "picture": (BytesIO(saved(plain())), "cover.png")}
    answer = staff.browser.post(staff.page(), **fields)
    assert (answer.status_code, staff.files()) == (400, [])


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_book_gets_no_cover(staff, method):
    fields = {"data": {"csrf_token": staff.browser.csrf_token("/"), "picture": (BytesIO(saved(plain())), "c.png")}}
    answer = getattr(staff.browser.client, method)("/admin/books/404/cover", **(fields if method == "post" else {}))
    assert (answer.status_code, staff.files()) == (404, [])


# ---------------------------------------------------------------- size limits


def padded(length: int) -> bytes:
    """Return a valid picture padded to this many bytes."""
    return saved(plain()).ljust(length, b"\0")


def test_8_mb_are_accepted(staff):
    assert staff.upload(padded(EIGHT_MB)).status_code == 303
    assert staff.cover()


def test_an_upload_one_byte_too_large_is_refused_in_the_form(staff):
    answer = staff.upload(padded(EIGHT_MB + 1))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (400, True)
    assert (staff.cover(), staff.files()) == (None, [])


def test_a_much_larger_upload_is_not_even_read(staff):
    answer = staff.upload(padded(EIGHT_MB + 2**20))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, True)
    assert (staff.cover(), staff.files()) == (None, [])


def test_an_oversized_upload_to_another_page_is_not_reported_as_a_cover(staff):
    answer = staff.browser.post(f"/admin/books/{staff.book_id}/edit", title=(BytesIO(padded(2**21)), "title.png"))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, False)


class HugeBody:
    """A huge request body of known length, as a server passes it on."""

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, size: int = -1) -> bytes:
        taken = min(size if size >= 0 else self.left, self.left)
        self.left -= taken
        return b"x" * taken


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("length", "unread"), [(50 * 2**20, 0), (150 * 2**20, 30 * 2**20)])
def test_an_oversized_request_is_drained_before_the_response_within_limits(staff, announced, length, unread):
    huge_body = HugeBody(length)
    environ = {"wsgi.input": huge_body, "wsgi.input_terminated": True}
    if announced:
        environ["CONTENT_LENGTH"] = str(length)
    kind = "multipart/form-data; boundary=x"
    answer = staff.browser.client.post(staff.page(), content_type=kind, environ_overrides=environ)
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, True)
    assert (huge_body.left == 0) if not unread else (huge_body.left > unread)


# ---------------------------------------------------------------- the stored files


def test_a_new_cover_has_a_new_address_and_the_old_one_works_until_the_purge(staff):
    staff.upload(saved(plain("red")))
    former = staff.cover()
    staff.upload(saved(plain("red")))
    assert (staff.cover() != former, len(staff.files())) == (True, 4)
    assert staff.browser.get(f"/covers/{former}-large.webp").status_code == 200


def test_a_removed_cover_is_deleted_from_the_book(staff):
    staff.upload(saved(plain()))
    assert (staff.remove().location, staff.cover()) == (staff.page(), None)


def test_an_unwritable_folder_is_reported_and_logged_and_nothing_changes(staff, database_url, tmp_path, caplog):
    folder = tmp_path / "covers"
    browser = WebClient(create_app(settings_for(database_url, covers=folder)), STAFF)
    folder.write_text("in the way")
    answer = CoverStaff(staff.shop, browser, folder).upload(saved(plain()), book_id=staff.book_id)
    assert (answer.status_code, pictures.NOT_STORED in text_of(answer), staff.cover()) == (503, True, None)
    assert f"pictures cannot be stored in {folder}" in caplog.text


def test_a_failed_write_leaves_no_file_behind(staff, monkeypatch):
    def full(_descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert staff.upload(saved(plain())).status_code == 503
    assert (staff.cover(), staff.files()) == (None, [])


# ---------------------------------------------------------------- who sees a cover


@pytest.mark.parametrize("email", [None, STAFF])
@pytest.mark.parametrize("size", ["small", "large"])
def test_covers_can_be_cached_publicly_and_indefinitely(staff, web_client, email, size):
    staff.upload(saved(plain()))
    answer = web_client(email).get(f"/covers/{staff.cover()}-{size}.webp")
    assert (answer.status_code, answer.mimetype) == (200, "image/webp")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ("Set-Cookie" in answer.headers, "Cookie" in answer.vary) == (False, False)


NO_COVERS = [
    "..%2f..%2fsetup.cfg", "../.lock", "..%2f{}-large.webp", "%00{}-large.webp", "..%5c" * 8 + "-large.webp",
    "{}-huge.webp", "{}-large.png", "{}-large.part", "x{}-large.webp", "{}.webp", "{}-.webp",
    "a" * 32 + "-large.webp", "A" * 32 + "-large.webp",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_COVERS)
def test_nothing_else_is_below_that_address(staff, name):
    staff.upload(saved(plain()))
    assert staff.browser.get(f"/covers/{name.format(staff.cover())}").status_code == 404


def test_the_page_shows_the_cover_and_offers_to_remove_an_uploaded_one(staff):
    assert "Remove" not in text_of(staff.browser.get(staff.page()))
    staff.upload(saved(plain()))
    shown = staff.browser.get(staff.page())
    assert (f"/covers/{staff.cover()}-large.webp" in shown.text, "Remove cover" in text_of(shown)) == (True, True)
