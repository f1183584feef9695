"""Reading ISBN barcodes from photos."""

from io import BytesIO

import pytest
import zxingcpp
from PIL import Image, ImageFilter

from bookshop.inventory.barcodes import NO_BARCODE, read_isbns
from bookshop.kit.exceptions import Invalid
from tests.support.uploads import ORIENTATION, PDF, SVG, bomb, noise, plain, saved

EMMA, FACTOTUM, TOOTHPASTE = "9780141439587", "9780804429573", "4006381333931"


def barcode(code, width=700):
    """Draw a barcode with this width in pixels, on white paper."""
    drawn = zxingcpp.create_barcode(code, zxingcpp.BarcodeFormat.EAN13).to_image(scale=8, add_quiet_zones=True)
    picture = Image.fromarray(drawn)
    return picture.resize((width, picture.height * width // picture.width))


def photo(*codes, angle=0, blur=0, size=(1200, 1600)):
    """Take a photo of books: their barcodes below each other on a noisy background, tilted and out of focus."""
    speckles = noise((size[0] // 4, size[1] // 4)).convert("L").point(lambda shade: shade // 3 + 90)
    scene = speckles.resize(size)
    for number, code in enumerate(codes):
        label = barcode(code).rotate(angle, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
        scene.paste(label, (150, 150 + 500 * number))
    return scene.filter(ImageFilter.GaussianBlur(blur))


@pytest.mark.parametrize(
    "options", [{}, {"angle": 8}, {"angle": 90}, {"angle": 180}, {"blur": 1.5}, {"size": (3000, 4000)}], ids=str
)
def test_the_barcode_in_a_photo_is_read(options):
    assert read_isbns(BytesIO(saved(photo(EMMA, **options), "JPEG", quality=70))) == [EMMA]


def test_several_books_in_a_photo_are_each_read_once():
    assert sorted(read_isbns(BytesIO(saved(photo(EMMA, FACTOTUM), "PNG")))) == [EMMA, FACTOTUM]
    assert read_isbns(BytesIO(saved(photo(EMMA, EMMA), "WEBP"))) == [EMMA]


def test_a_phone_held_sideways_makes_no_difference():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert read_isbns(BytesIO(saved(photo(EMMA), "JPEG", exif=exif))) == [EMMA]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: saved(photo()), NO_BARCODE),
        (lambda: saved(photo(TOOTHPASTE)), NO_BARCODE),
        (lambda: saved(plain()), NO_BARCODE),
        (lambda: bomb(9_000, 9_000), "at most 40 megapixels"),
        (lambda: bomb(60_000, 60_000), "at most 40 megapixels"),
        (lambda: bomb(100, 100), "damaged"),
        (lambda: b"x" * (8 * 1024 * 1024 + 1), "at most 8 MB"),
        (lambda: SVG, "not a JPEG, PNG or WebP"),
        (lambda: PDF, "not a JPEG, PNG or WebP"),
        (lambda: b"", "not a JPEG, PNG or WebP"),
    ],
)
def test_anything_else_is_refused_with_the_reason(content, reason):
    with pytest.raises(Invalid, match=reason) as refused:
        read_isbns(BytesIO(content()))
    assert refused.value.field == "photo"
