"""Uploaded covers: what may be one, what is kept of it, where, and who gets to see it."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.catalog import pictures
from bookshop.catalog.repository import BookRepository
from tests.support import races
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


class Desk:
    """A member of staff at the cover pages, and the folder of covers, which is empty at first."""

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
        return sorted(path.name for path in self.folder.iterdir() if path.name != pictures.LOCK)

    def kept(self, size: str = "large") -> tuple[bytes, Image.Image]:
        """What everybody gets to see: the file, and the picture in it."""
        content = self.browser.get(f"/covers/{self.cover()}-{size}.webp").data
        return content, Image.open(BytesIO(content))

    def colour(self, at: tuple[int, int] = (50, 50)) -> Any:
        return self.kept()[1].convert("RGB").getpixel(at)


@pytest.fixture
def desk(app, shop, web_client):
    folder = Path(app.config["SETTINGS"].covers)
    for path in folder.iterdir():
        path.unlink()
    shop.staff(STAFF)
    return Desk(shop, web_client(STAFF), folder)


def alike(colour: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two colours look the same: WebP does not keep them exactly."""
    return all(abs(one - two) <= 4 for one, two in zip(colour, other, strict=True))


# ---------------------------------------------------------------- what is taken


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
def test_a_picture_of_any_kind_is_kept_as_webp_with_its_colours_on_white(desk, kind, mode, colour, seen):
    answer = desk.upload(saved(plain(colour, mode=mode), kind))
    assert (answer.status_code, desk.kept()[1].format, desk.kept()[1].size) == (303, "WEBP", (200, 300))
    assert alike(desk.colour(), seen)


@pytest.mark.parametrize(("transparency", "seen"), [(None, (200, 30, 40)), (0, (255, 255, 255))])
def test_a_picture_with_a_palette_is_kept_with_its_colours_on_white(desk, transparency, seen):
    options = {} if transparency is None else {"transparency": transparency}
    desk.upload(saved(plain((200, 30, 40)).quantize(4), **options))
    assert alike(desk.colour(), seen)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_moving_picture_the_first_is_kept(desk, kind):
    desk.upload(saved(plain("red"), kind, save_all=True, append_images=[plain("blue")]))
    assert alike(desk.colour(), (255, 0, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_taken_with_the_camera_on_its_side_stands_upright_afterwards(desk, kind):
    desk.upload(saved(upright().transpose(Image.Transpose.ROTATE_90), kind, exif=metadata()))
    assert alike(desk.colour((50, 20)), (255, 0, 0))
    assert alike(desk.colour((50, 280)), (0, 0, 255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_nothing_is_kept_of_what_else_was_in_the_file(desk, kind, size):
    profile, words = profile_with_red_and_blue_exchanged(), b"<x:xmpmeta>secret words</x:xmpmeta>"
    options = {} if kind == "PNG" else {"xmp": words}
    desk.upload(saved(plain(), kind, exif=metadata(), icc_profile=profile, **options) + b"secret words")
    content, picture = desk.kept(size)
    assert (b"secret words" in content, {"exif", "icc_profile", "xmp"} & set(picture.info)) == (False, set())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_colours_are_those_that_the_pictures_own_profile_means(desk, kind):
    desk.upload(saved(plain("red"), kind, icc_profile=profile_with_red_and_blue_exchanged()))
    assert alike(desk.colour(), (0, 0, 255))


def test_a_profile_that_is_none_is_passed_over(desk):
    desk.upload(saved(plain("red"), "JPEG", icc_profile=b"no profile at all"))
    assert alike(desk.colour(), (255, 0, 0))


def test_what_a_file_holds_counts_and_not_what_it_is_called(desk):
    assert desk.upload(saved(plain(), "PNG"), name="../../cover.svg", kind="image/svg+xml").status_code == 303
    assert desk.files() == [f"{desk.cover()}-large.webp", f"{desk.cover()}-small.webp"]


@pytest.mark.prove
@pytest.mark.parametrize(("size", "box", "most"), [("small", (240, 360), 4_000), ("large", (600, 900), 40_000)])
def test_even_the_busiest_picture_keeps_to_its_box_its_bytes_and_its_shape(desk, size, box, most):
    desk.upload(saved(noise((1000, 1500)), "JPEG"))
    content, picture = desk.kept(size)
    assert (picture.width <= box[0], picture.height <= box[1], len(content) <= most) == (True, True, True)
    assert picture.width / picture.height == pytest.approx(1000 / 1500, rel=0.01)


@pytest.mark.parametrize(("given", "large", "small"), [
    ((150, 220), (150, 220), (150, 220)),
    ((2400, 1200), (600, 300), (240, 120)),
    ((1200, 3600), (300, 900), (120, 360)),
])  # fmt: skip
def test_a_picture_is_made_smaller_to_fit_and_never_larger(desk, given, large, small):
    desk.upload(saved(plain(size=given)))
    assert (desk.kept("large")[1].size, desk.kept("small")[1].size) == (large, small)


# ---------------------------------------------------------------- what is refused


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
def test_anything_else_is_refused_with_a_sentence_and_nothing_is_stored(desk, what):
    content, sentence = REFUSED[what]
    answer = desk.upload(content)
    assert (answer.status_code, sentence in text_of(answer)) == (400, True)
    assert (desk.cover(), desk.files()) == (None, [])


@pytest.mark.parametrize("fields", [{}, {"picture": "a text"}, {"picture": (Upload(), "")}], ids=["none", "text", "-"])
def test_who_chooses_no_file_is_asked_to(desk, fields):
    answer = desk.browser.submit(desk.page(), **fields)
    assert (answer.status_code, "Please choose a file." in text_of(answer)) == (400, True)


def test_a_file_in_place_of_the_csrf_token_is_no_token(desk):
    fields = {"csrf_token": (BytesIO(b"x"), "token"), "picture": (BytesIO(saved(plain())), "cover.png")}
    answer = desk.browser.post(desk.page(), **fields)
    assert (answer.status_code, desk.files()) == (400, [])


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_book_that_is_not_there_gets_no_cover(desk, method):
    fields = {"data": {"csrf_token": desk.browser.csrf_token("/"), "picture": (BytesIO(saved(plain())), "c.png")}}
    answer = getattr(desk.browser.client, method)("/admin/books/404/cover", **(fields if method == "post" else {}))
    assert (answer.status_code, desk.files()) == (404, [])


# ---------------------------------------------------------------- how much


def padded(length: int) -> bytes:
    """A good picture in a file of that many bytes."""
    return saved(plain()).ljust(length, b"\0")


def test_8_mb_are_taken(desk):
    assert desk.upload(padded(EIGHT_MB)).status_code == 303
    assert desk.cover()


def test_a_byte_more_is_refused_in_the_form(desk):
    answer = desk.upload(padded(EIGHT_MB + 1))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (400, True)
    assert (desk.cover(), desk.files()) == (None, [])


def test_much_more_is_not_even_read(desk):
    answer = desk.upload(padded(EIGHT_MB + 2**20))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, True)
    assert (desk.cover(), desk.files()) == (None, [])


def test_a_cover_too_large_is_no_cover_for_other_pages(desk):
    answer = desk.browser.post(f"/admin/books/{desk.book_id}/edit", title=(BytesIO(padded(2**21)), "title.png"))
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, False)


class Flood:
    """The body of a request that goes on and on, as a server hands it over that knows where it ends."""

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, size: int = -1) -> bytes:
        taken = min(size if size >= 0 else self.left, self.left)
        self.left -= taken
        return b"x" * taken


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(("length", "unread"), [(50 * 2**20, 0), (150 * 2**20, 30 * 2**20)])
def test_who_sends_far_too_much_is_heard_out_before_the_answer_but_not_for_ever(desk, announced, length, unread):
    flood = Flood(length)
    environ = {"wsgi.input": flood, "wsgi.input_terminated": True}
    if announced:
        environ["CONTENT_LENGTH"] = str(length)
    kind = "multipart/form-data; boundary=x"
    answer = desk.browser.client.post(desk.page(), content_type=kind, environ_overrides=environ)
    assert (answer.status_code, pictures.TOO_MANY_BYTES in text_of(answer)) == (413, True)
    assert (flood.left == 0) if not unread else (flood.left > unread)


# ---------------------------------------------------------------- what becomes of the files


def test_another_cover_replaces_the_former_and_its_files(desk):
    desk.upload(saved(plain("red")))
    former = desk.cover()
    desk.upload(saved(plain("blue")))
    assert desk.cover() != former
    assert desk.files() == [f"{desk.cover()}-large.webp", f"{desk.cover()}-small.webp"]


def test_the_same_cover_again_stays(desk):
    for _time in range(2):
        desk.upload(saved(plain("red")))
    assert alike(desk.colour(), (255, 0, 0))


def test_a_removed_cover_is_gone_from_the_book_and_the_folder(desk):
    desk.upload(saved(plain()))
    assert desk.remove().location == desk.page()
    assert (desk.cover(), desk.files()) == (None, [])


def test_a_cover_that_another_book_has_too_is_kept_for_it(desk):
    other = desk.shop.book("Persuasion")
    desk.upload(saved(plain()), book_id=other)
    desk.upload(saved(plain()))
    desk.remove(other)
    assert alike(desk.colour(), (0, 128, 128))


def given_to_another_while_it_is_removed(
    desk: Desk, web_client: Callable[..., WebClient], patience: float
) -> list[str]:
    """One book loses a cover at the moment at which another gets the same; the files that are there then."""
    other, colleague = desk.shop.book("Persuasion"), Desk(desk.shop, web_client(STAFF), desk.folder)
    desk.upload(saved(plain()))
    upload = partial(colleague.upload, saved(plain()), book_id=other)
    races.overtake((BookRepository, "has_cover"), desk.remove, upload, patience)
    assert (desk.cover(), bool(desk.cover(other))) == (None, True)
    return desk.files()


def test_a_cover_that_is_given_to_another_book_while_it_is_removed_is_there(desk, web_client):
    assert len(given_to_another_while_it_is_removed(desk, web_client, patience=0.3)) == 2


def test_without_the_lock_on_the_folder_it_would_be_gone(desk, web_client, monkeypatch):
    monkeypatch.setattr("fcntl.flock", lambda *_arguments: None)
    assert given_to_another_while_it_is_removed(desk, web_client, patience=5) == []


def test_a_folder_that_cannot_be_written_is_said_logged_and_nothing_changed(desk, database_url, tmp_path, caplog):
    folder = tmp_path / "covers"
    browser = WebClient(create_app(settings_for(database_url, covers=folder)), STAFF)
    folder.write_text("in the way")
    answer = Desk(desk.shop, browser, folder).upload(saved(plain()), book_id=desk.book_id)
    assert (answer.status_code, pictures.NOT_KEPT in text_of(answer), desk.cover()) == (503, True, None)
    assert f"covers cannot be kept in {folder}" in caplog.text


def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing_behind(desk, monkeypatch):
    def full(_descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert desk.upload(saved(plain())).status_code == 503
    assert (desk.cover(), desk.files()) == (None, [])


# ---------------------------------------------------------------- who sees it


@pytest.mark.parametrize("email", [None, STAFF])
@pytest.mark.parametrize("size", ["small", "large"])
def test_everybody_may_keep_a_cover_for_ever(desk, web_client, email, size):
    desk.upload(saved(plain()))
    answer = web_client(email).get(f"/covers/{desk.cover()}-{size}.webp")
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
def test_nothing_else_is_found_there(desk, name):
    desk.upload(saved(plain()))
    assert desk.browser.get(f"/covers/{name.format(desk.cover())}").status_code == 404


def test_the_page_shows_the_cover_and_offers_to_remove_an_uploaded_one(desk):
    assert "Remove" not in text_of(desk.browser.get(desk.page()))
    desk.upload(saved(plain()))
    shown = desk.browser.get(desk.page())
    assert (f"/covers/{desk.cover()}-large.webp" in shown.text, "Remove this cover" in text_of(shown)) == (True, True)
