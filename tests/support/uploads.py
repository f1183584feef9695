"""Files to upload in tests: valid pictures and files that only look like one."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image, ImageCms, ImageDraw

ORIENTATION, DESCRIPTION = 0x0112, 0x010E
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="300"><script>alert(1)</script></svg>'
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
ZIP = b"PK\x05\x06" + bytes(18)


class Upload(BytesIO):
    """A file that can be sent repeatedly, although the test client closes it."""

    def close(self) -> None:
        self.seek(0)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Encode a picture as a file of this kind."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def plain(colour: Any = "teal", size: tuple[int, int] = (200, 300), mode: str = "RGB") -> Image.Image:
    """Create a picture of one colour."""
    return Image.new(mode, size, colour)


def upright() -> Image.Image:
    """Create a picture with a red upper half and a blue lower half."""
    picture = plain("blue")
    ImageDraw.Draw(picture).rectangle((0, 0, 199, 149), fill="red")
    return picture


def noise(size: tuple[int, int]) -> Image.Image:
    """Create a picture of random pixels, which hardly compresses."""
    return Image.merge("RGB", [Image.effect_noise(size, 120) for _colour in "RGB"])


def metadata() -> Image.Exif:
    """Return EXIF data with a private description and the orientation of a rotated camera."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = 6, "secret words"
    return exif


def profile_with_red_and_blue_exchanged() -> bytes:
    """Return a colour profile that swaps red and blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that claims to have this many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
