"""Owners choose a logo, a photo and a colour, and everybody sees them, on light and on dark pages."""

import json
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import select
from werkzeug.test import TestResponse

from bookshop.admin.look_forms import CHOOSE_AGAIN, LOGO, NO_WORDS, PHOTO
from bookshop.catalog import pictures
from bookshop.extensions import db
from bookshop.mail.models import Message
from bookshop.shop.colours import CONTRAST_MIN, DARK, DEFAULT, LIGHT, contrast, lowest_contrast, parse_colour, tones
from tests.catalog.test_covers import contrast as reference_contrast
from tests.support.clients import WebClient, text_of
from tests.support.factories import Shop
from tests.support.mailbox import part
from tests.support.sources import ROOT
from tests.support.uploads import Upload, metadata, noise, plain, saved

LOOK = "/admin/settings/look"
RED, CLEAR = (200, 30, 40, 255), (200, 30, 40, 0)
WORDS = "Our shop window"


@pytest.fixture
def owner(shop, web_client):
    shop.owner()
    return web_client("owner@example.com")


@pytest.fixture
def choose(owner: WebClient, shop: Shop) -> Callable[..., TestResponse]:
    """Send the form of the look; returns the answer."""

    def send(**changes: Any) -> TestResponse:
        chosen = [name for name in ("logo", "photo") if name in changes]
        files: dict[str, Any] = {name: (BytesIO(changes.pop(name)), "picture.png") for name in chosen}
        version = (shop.rows("SELECT version FROM shop_details") or [0])[0]
        return owner.submit(LOOK, **{"accent": DEFAULT, "version": str(version), **changes, **files})

    return send


def logo(size: tuple[int, int] = (400, 100)) -> bytes:
    """Return a PNG with a transparent left half and a red right half."""
    picture = Image.new("RGBA", size, RED)
    picture.paste(CLEAR, (0, 0, size[0] // 2, size[1]))
    return saved(picture)


def sources(page: str, name: str) -> list[str]:
    """Return the addresses of the pictures with this class, the default one first."""
    (tag,) = re.findall(f'<img class="{name}"[^>]*>', page)
    return re.findall(r"/covers/[0-9a-f]{32}-(?:large|small)\.webp", tag)


def test_a_logo_takes_the_place_of_the_name_and_keeps_its_transparent_ground(choose, shop, web_client):
    shop.describe(name="Corner & Books")
    assert choose(logo=logo()).status_code == 303
    visitor = web_client()
    page = visitor.get("/").text
    (address,) = sources(page, "shop-logo")
    assert ('width="400" height="100" alt="Corner &amp; Books"' in page, address.endswith("small.webp")) == (True, True)
    answer = visitor.get(address)
    picture = Image.open(BytesIO(answer.data)).convert("RGBA")
    alpha = picture.getchannel("A")
    assert (picture.size, alpha.getpixel((50, 50)), alpha.getpixel((350, 50))) == ((384, 96), 0, 255)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_photo_is_on_the_page_about_the_shop_in_two_sizes_without_metadata(choose, owner, web_client):
    assert choose(photo=saved(plain(size=(1800, 1350)), "JPEG", exif=metadata()), photo_alt=WORDS).status_code == 303
    visitor = web_client()
    page = visitor.get("/visit").text
    large, small, _same = sources(page, "shop-photo")
    assert f'width="750" height="1000" alt="{WORDS}"' in page
    for address, size in ((large, (750, 1000)), (small, (375, 500))):
        picture = Image.open(BytesIO(visitor.get(address).data))
        assert (picture.size, "exif" in picture.info) == (size, False)
    assert f'value="{WORDS}"' in owner.get(LOOK).text


@pytest.mark.prove
@pytest.mark.parametrize("kind", [LOGO, PHOTO], ids=["logo", "photo"])
def test_even_a_noisy_picture_keeps_its_limits(kind):
    found = pictures.read_picture(BytesIO(saved(noise((2000, 1500)), "JPEG")), kind)
    assert [size for size, limits in kind.sizes.items() if len(found.files[size]) > limits.bytes_max] == []


def test_search_engines_and_scripts_get_their_addresses(choose, web_client, api_client):
    choose(logo=logo(), photo=saved(plain(size=(400, 300))), photo_alt=WORDS)
    found = api_client().get("/api/v1/shop").json
    assert (re.sub("[0-9a-f]{32}", "*", found["logo"]), found["photo_alt"]) == (
        "http://127.0.0.1:5000/covers/*-large.webp",
        WORDS,
    )
    markup = re.findall('<script type="application/ld\\+json">(.*?)</script>', web_client().get("/visit").text)[0]
    linked = json.loads(markup)
    assert (linked["logo"], linked["image"]) == (found["logo"], found["photo"])
    assert found["logo"] != found["photo"]


def test_pictures_can_be_removed_one_by_one_and_the_log_has_their_names(choose, owner, shop, web_client, api_client):
    choose(logo=logo(), photo=saved(plain(size=(400, 300))), photo_alt=WORDS)
    ((name, photo),) = shop.rows("SELECT logo, photo FROM shop_details")
    for picture in ("logo", "photo"):
        assert owner.submit(f"{LOOK}/remove/{picture}", page=LOOK).location == LOOK
    assert "<img" not in web_client().get("/visit").text
    assert [api_client().get("/api/v1/shop").json[one] for one in ("logo", "photo", "photo_alt")] == [None] * 3
    logged = str(shop.rows("SELECT before, after FROM audit_entries WHERE action = 'shop.changed' ORDER BY id"))
    assert (logged.count(name), logged.count(photo)) == (2, 2)


def test_pictures_stay_when_something_else_is_changed(choose, shop):
    choose(logo=logo(), photo=saved(plain(size=(400, 300))), photo_alt=WORDS)
    before = shop.rows("SELECT logo, photo FROM shop_details")
    assert choose(photo_alt="The door", accent="#00aa55").status_code == 303
    assert shop.rows("SELECT logo, photo FROM shop_details") == before


def files_of(app: Flask) -> set[str]:
    return {path.name for path in Path(app.config["SETTINGS"].covers).iterdir()}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"logo": saved(plain(size=(47, 300)))}, LOGO.too_small),
        ({"logo": saved(plain(size=(900, 100)))}, LOGO.too_long),
        ({"logo": b"<svg/>"}, pictures.NO_PICTURE),
        ({"photo": saved(plain(size=(399, 300))), "photo_alt": WORDS}, PHOTO.too_small),
        ({"photo": saved(noise((400, 300)), "JPEG")[:9000], "photo_alt": WORDS}, pictures.DAMAGED),
        ({"photo": saved(plain(size=(400, 300)))}, NO_WORDS),
        ({"photo": saved(plain()).ljust(8 * 2**20 + 1, b"\0"), "photo_alt": WORDS}, PHOTO.refusals.too_many_bytes),
    ],
)
def test_what_is_no_logo_or_photo_is_refused_and_nothing_is_stored(choose, app, shop, changes, sentence):
    before = files_of(app)
    answer = choose(**changes, code="#123456")
    assert (answer.status_code, sentence in text_of(answer), 'value="#123456"' in answer.text) == (400, True, True)
    assert (files_of(app), shop.rows("SELECT id FROM shop_details")) == (before, [])


@pytest.mark.parametrize(("changes", "status"), [
    ({"code": "reddish"}, 400), ({"logo": b"no logo"}, 400), ({"version": "7"}, 409),
])  # fmt: skip
def test_a_good_picture_is_asked_for_again_if_the_form_cannot_be_saved(choose, changes, status):
    answer = choose(photo=saved(plain(size=(400, 300))), photo_alt=WORDS, **changes)
    assert (answer.status_code, text_of(answer).count(CHOOSE_AGAIN), WORDS in answer.text) == (status, 1, True)


def test_booksellers_may_neither_see_nor_send_the_form(shop, web_client):
    shop.staff()
    bookseller = web_client("staff@example.com")
    sent = bookseller.post(LOOK, csrf_token=bookseller.csrf_token("/"), logo=(Upload(logo()), "logo.png"))
    assert (bookseller.get(LOOK).status_code, sent.status_code) == (403, 403)


def test_a_colour_is_a_second_stylesheet_on_every_page_until_the_default_is_chosen_again(choose, web_client):
    visitor = web_client()
    assert "/accent-" not in visitor.get("/").text
    choose(code="FF0")
    (address,) = re.findall(r'<link rel="stylesheet" href="(/accent-[^"]+)">', visitor.get("/").text)
    answer = visitor.get(address)
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("text/css", "public, max-age=31536000, immutable")
    light, dark = re.findall("--accent: (#[0-9a-f]{6});", answer.text)
    assert (light, dark) == (tones("#ffff00", LIGHT).accent, "#ffff00")
    assert re.findall("@media [^{]*", answer.text) == [
        "@media screen ",
        "@media screen and (prefers-color-scheme: dark) ",
    ]
    assert answer.text.startswith("@media screen")
    assert visitor.get("/accent-ffff00.css").headers["Cache-Control"] == "public, no-cache"
    assert visitor.get("/accent-yellow.css").status_code == 404
    assert choose(accent=DEFAULT).status_code == 303
    assert "/accent-" not in visitor.get("/").text


def test_owners_read_which_tones_of_their_colour_the_pages_have_and_why(choose, owner):
    choose(code="#ffff00")
    page = text_of(owner.get(LOOK))
    light = tones("#ffff00", LIGHT).accent
    assert f"{light}, with a contrast of 4.6:1. Your colour, #ffff00, would have 1.0:1" in page.replace(" ,", ",")
    assert "#ffff00, as you chose it, with a contrast of 13.2:1." in page.replace(" ,", ",")


def test_the_colour_of_a_shop_that_has_chosen_none_is_not_called_that_of_the_owner(owner):
    page = text_of(owner.get(LOOK))
    assert ("you chose" in page, "Your colour" in page) == (False, False)
    assert page.count("the shop's default colour, with a contrast of") == 2


def test_e_mails_have_the_colour(shop, mailbox):
    shop.describe(accent="#ffff00")
    shop.reserve(shop.customer(), shop.book())
    shop.set_stock(1, 1)
    (message,) = mailbox.deliver()
    markup = part(message, "html")
    assert (f"background: {tones('#ffff00', LIGHT).accent}" in markup, "background: #ffff00" in markup) == (True, True)
    assert DEFAULT not in markup


EVERY_COLOUR = [f"#{red}{green}{blue}" for red in ("00", "55", "aa", "ff") for green in ("00", "55", "aa", "ff")
                for blue in ("00", "55", "aa", "ff")] + [DEFAULT]  # fmt: skip


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_any_colour_can_be_read_on_every_ground_and_so_can_words_on_it(scheme):
    for colour in EVERY_COLOUR:
        found = tones(colour, scheme)
        for tone in (found.accent, found.deep):
            others = (*scheme.grounds, found.on)
            assert [(colour, other) for other in others if reference_contrast(tone, other) < CONTRAST_MIN] == []


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_colour_that_can_be_read_stays_as_it_is(scheme):
    readable = [colour for colour in EVERY_COLOUR if lowest_contrast(colour, scheme) >= 4.5 and colour != DEFAULT]
    assert readable
    assert [tones(colour, scheme).accent for colour in readable] == readable


def test_the_tokens_of_the_stylesheet_are_those_that_colours_are_compared_with():
    light, dark = (ROOT / "static" / "css" / "shop.css").read_text().split("@media (prefers-color-scheme: dark)")[:2]
    for text, scheme in ((light, LIGHT), (dark, DARK)):
        tokens = dict(re.findall("--([a-z-]+): (#[0-9a-f]{6});", text))
        assert [tokens[name] for name in ("paper", "sheet", "tint")] == list(scheme.grounds)
        assert [tokens[name] for name in ("accent", "accent-deep", "on-accent")] == list(scheme.default)


@pytest.mark.parametrize(("typed", "colour"), [("#8B2E2A", "#8b2e2a"), ("0a5", "#00aa55"), (" #FFF ", "#ffffff")])
def test_a_colour_is_read_as_people_write_it(typed, colour):
    assert parse_colour(typed) == colour


def test_contrast_is_that_of_the_guidelines():
    assert (contrast("#000000", "#ffffff"), round(contrast("#777777", "#ffffff"), 2)) == (21, 4.48)


def test_alerts_wait_as_long_as_owners_have_just_chosen(owner, shop):
    shop.reserve(shop.customer(), shop.book())
    shop.describe(mail_delay=7200)
    owner.submit("/admin/books/1/stock", copies="3", expected="0")
    assert "The e-mails will be sent in 7,200 seconds." in text_of(owner.get("/admin/books/1/stock"))
    with shop.app.app_context():
        message = db.session.scalars(select(Message)).one()
    assert (message.next_attempt_at - message.created_at).total_seconds() == pytest.approx(7200, abs=60)
