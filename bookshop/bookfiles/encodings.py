"""Encodings of text files: finds out which one a file has, and opens it so that damaged characters can be found."""

import codecs
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from charset_normalizer import from_bytes

from bookshop.kit.exceptions import Invalid

CHUNK = 1 << 20  # bytes read at a time
LONGEST_SAMPLE = 1 << 16  # bytes of lines with accents that decide between legacy encodings
HEAD = 4_096  # bytes that show whether every second one is NUL
DAMAGE = "\udcff"  # stands for bytes that are no character
DAMAGED = re.compile("[\ud800-\udfff]")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
LABELS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "iso8859_2": "ISO 8859-2",
    "cp850": "DOS (code page 850)",
    "mac_roman": "Mac Roman",
    "cp1251": "Windows-1251",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
}
# Those that staff can choose, by their names for people. Files in UTF-16 are always recognised.
CHOICES = {name: encoding for encoding, name in LABELS.items() if name != "UTF-16"}

# How likely an accented letter or a typographic sign is in a list of books: how often it is one of a thousand.
WESTERN = {
    60: "éäöüèáóíàñçêß",
    20: "âôîúåãøûùœæõëïòì\u2019\u2013\u2014€\xa0",
    6: "²³°ÉÖÜÄÅžš\u2018“”„«»…",
    2: "ÀÈÊÇÓÁÍÑÚØÆŒÂÔÎýðþŠŽÞ£©®™·•§¿¡ªº",
}
CENTRAL = {
    60: "łąęśżóéíáčřěšžů",
    20: "ćýúńťňöüőű\u2019\u2013\xa0",
    6: "źďäôâŁŚŻČŘŠŽÁÉÖÜ\u2018“”„«»—",
    2: "ÍÓÚŹĆŮĎŤŇŐŰëă£€©®™·•…§°",
}
UNLIKELY = 0.01
SAME_LETTER = 3  # times that a letter counts: more of the same are no more evidence
ONE_LETTER_WORDS = frozenset("àéèóúêÀÉÓÚåöøæÅÖØÆíýÍ")  # and initials, as in "Å. Larsson"
# The legacy encodings that are considered, and the lead that Windows-1252 has over each: it is by far the most common.
LEGACY = {
    "cp1252": (WESTERN, 0.0),
    "cp850": (WESTERN, 4.0),
    "mac_roman": (WESTERN, 4.0),
    "cp1250": (CENTRAL, 5.0),
    "iso8859_2": (CENTRAL, 6.0),
}


def encoding_of(path: Path) -> str:
    """Find out the encoding of a text file, a name for Python's codecs. Reads the whole file, in chunks.

    A file with lines in UTF-8 and fewer lines that are not stays UTF-8. Raises Invalid if no encoding fits.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    return unicode_of(head) or _utf8(path) or _legacy(path)


def unicode_of(head: bytes) -> str:
    """Return the encoding that the first bytes of a file show by a BOM or, for UTF-16, by their NULs; "" if none."""
    for bom, name in BOMS.items():
        if head.startswith(bom):
            return name
    return _utf16_without_bom(head)


def label(encoding: str) -> str:
    """Return the name of an encoding for people."""
    return LABELS.get(encoding, encoding)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open a text file with its line ends as they are. `DAMAGED` finds what cannot be decoded."""
    return path.open(encoding=encoding, errors="bookshop.damage", newline="")


def _mark_damage(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return DAMAGE, error.end


codecs.register_error("bookshop.damage", _mark_damage)


def _utf16_without_bom(head: bytes) -> str:
    """Return the byte order of UTF-16: digits, separators and line ends have a NUL as their higher byte."""
    even, odd, few = head[::2].count(0), head[1::2].count(0), len(head) // 20
    if odd > few and odd > 2 * even:
        return "utf-16-le"
    return "utf-16-be" if even > few and even > 2 * odd else ""


def _utf8(path: Path) -> str:
    """Return "utf-8" if the file has no accents, or if at least as many lines with accents are UTF-8 as are not."""
    good = bad = 0
    for chunk in _chunks(path):
        if not chunk.isascii():
            accented = [line for line in chunk.splitlines() if not line.isascii()]
            damaged = 0 if _is_utf8(chunk) else sum(not _is_utf8(line) for line in accented)
            good, bad = good + len(accented) - damaged, bad + damaged
    return "utf-8" if bad == 0 or good >= bad else ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the file in pieces that end with a line or, if it is longer than a piece, with a character of UTF-8."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            chunk = rest + chunk
            cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1 or _last_character(chunk)
            rest = chunk[cut:]
            yield chunk[:cut]
    yield rest


def _last_character(chunk: bytes) -> int:
    """Return where the last character of UTF-8 begins."""
    position = len(chunk) - 1
    while position > len(chunk) - 4 and chunk[position] & 0xC0 == 0x80:
        position -= 1
    return position


def _legacy(path: Path) -> str:
    """Return the legacy encoding under which the file's accents are most likely.

    charset-normalizer knows scripts apart from Latin well. For short lists in Latin script it often prefers DOS to
    Windows, so those are compared here.
    """
    sample = _accented_lines(path)
    if not _is_other_script(sample):
        return max(LEGACY, key=lambda encoding: _likelihood(sample, encoding))
    found = from_bytes(sample).best()
    if found is None:
        raise Invalid("The file is in an encoding that the shop cannot read. Save it as “CSV UTF-8” and upload that.")
    return found.encoding


def _accented_lines(path: Path) -> bytes:
    """Return the first lines that are not ASCII, which say more about the encoding than all others."""
    sample = bytearray()
    for chunk in _chunks(path):
        if not chunk.isascii():
            for line in chunk.splitlines():
                if not line.isascii():
                    sample += line[:1_000] + b"\n"
        if len(sample) > LONGEST_SAMPLE:
            break
    return bytes(sample[:LONGEST_SAMPLE])


def _is_other_script(sample: bytes) -> bool:
    """Return whether this is Cyrillic, Greek, Japanese and so on: Latin script seldom has four accents in a row."""
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    in_a_row = sum(run for run in runs if run > 3)
    return in_a_row > 12 and in_a_row * 2 > sum(runs)


def _likelihood(sample: bytes, encoding: str) -> float:
    """Return the logarithm of how likely these accents are in lists of books."""
    frequencies, lead = LEGACY[encoding]
    weights = {letter: weight for weight, letters in frequencies.items() for letter in letters}
    text = f" {sample.decode(encoding, 'replace')} "
    around = zip(text, text[1:], text[2:], strict=False)
    found = Counter((three[1], _weight(weights, *three)) for three in around if not three[1].isascii())
    return sum(min(count, SAME_LETTER) * math.log(weight) for (_letter, weight), count in found.items()) - lead


def _weight(weights: dict[str, int], before: str, letter: str, after: str) -> float:
    """Return how likely a letter is between two others: no capitals or signs within words, no accent on its own."""
    weight = weights.get(letter, UNLIKELY)
    within = before.isalpha() and after.isalpha()
    if not letter.isalpha() or letter in "ªº":
        cubic = letter in "²³" and before.isalpha() and before != "m"
        unlikely = cubic or (within and letter not in "\u2019·\u2013\u2014") or (letter in "¿¡" and not after.isalpha())
    elif letter.isupper():
        unlikely = before.islower()
    else:
        alone = not (before.isalpha() or after.isalpha() or letter in ONE_LETTER_WORDS)
        unlikely = alone or (before.isupper() and after.isupper())
    return min(weight, UNLIKELY * 10) if unlikely else weight
