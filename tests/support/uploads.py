"""Files to upload in tests: good pictures, and what only looks like one."""

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
    """A file that can be sent again and again: the test client closes what it has sent."""

    def close(self) -> None:
        self.seek(0)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file of this kind."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def plain(colour: Any = "teal", size: tuple[int, int] = (200, 300), mode: str = "RGB") -> Image.Image:
    """A picture of one colour."""
    return Image.new(mode, size, colour)


def upright() -> Image.Image:
    """A picture whose upper half is red and whose lower half is blue."""
    picture = plain("blue")
    ImageDraw.Draw(picture).rectangle((0, 0, 199, 149), fill="red")
    return picture


def noise(size: tuple[int, int]) -> Image.Image:
    """A picture that compresses as badly as any: every pixel of each colour is at random."""
    return Image.merge("RGB", [Image.effect_noise(size, 120) for _colour in "RGB"])


def metadata() -> Image.Exif:
    """EXIF that tells something of the photographer, and that the camera was held upright on its side."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = 6, "secret words"
    return exif


def profile_with_red_and_blue_exchanged() -> bytes:
    """A colour profile by which what is written as red is blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp!").replace(b"bXYZ", b"rXYZ").replace(b"tmp!", b"bXYZ")


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it has that many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
