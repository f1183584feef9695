"""Titles and authors for drawn covers: many ordinary ones and all kinds of unusual ones."""

# ruff: noqa: RUF001 - titles in many scripts

from itertools import product

FIRST = "The Silent Garden|A House by the Water|Winter Letters|Dust|The Cartographer's Apprentice|Salt and Iron"
SECOND = "of Summer|in Lisbon|and Other Stories|: A Memoir|(The Long Road, #2)|for Beginners|1939–45|without Rooms"
AUTHORS = "Ada Lovelace|T. S. Eliot|Chimamanda Ngozi Adichie|Arkady Strugatsky, Boris Strugatsky|Anonymous"
TRANSLATORS = ["", ", Maria Winkler", ", Jonathan Wetherby-Moore and the Committee of Translators"]

ORDINARY = [
    (f"{first}{'' if second[0] == ':' else ' '}{second}", author + translator)
    for first, second, author, translator in product(
        FIRST.split("|"), SECOND.split("|"), AUTHORS.split("|"), TRANSLATORS
    )
][:600]

ODD = [
    ("W", "M"),
    ("…", "—"),
    ("1984", "George Orwell"),
    ("MMMM WWWW", "MMMM WWWW"),
    ("x" * 500, "y" * 1000),
    ("M" * 500, "W" * 1000),
    ("word " * 100, "Somebody Called Name, " * 45),
    ("Soccernomics: Why England Loses, Why Germany and Brazil Win, and Why the U.S., Japan, Australia, Turkey--and "
     "Even Iraq--Are Destined to Become the Kings of the World's Most Popular Sport", "Simon Kuper, Stefan Szymanski"),
    ("Donaudampfschifffahrtsgesellschaftskapitän", "Ein Österreicher"),
    ("<script>alert('1')</script> & \"co\" ]]>", "O'Neil <b>"),
    ("nul\0 bell\a \ud800 half \ufffe none \u202e turned", "\x1b[31m"),
    ("Z\u0351\u036b\u0343\u0301\u0302algo e\u0301tude", "Y\u0302"),
    ("Преступление и наказание", "Фёдор Михайлович Достоевский"),
    ("Ο Καπετάν Μιχάλης", "Νίκος Καζαντζάκης"),
    ("Kürk Mantolu Madonna", "Sabahattin Ali"),
    ("باب الخروج: رسالة علي المفعمة ببهجة غير متوقعة", "عز الدين شكري فشير"),
    ("2 ضباط", "عصام يوسف"),
    ("ا", "ب"),
    ("סיפור על אהבה וחושך", "עמוס עוז"),
    ("吾輩は猫である。名前はまだ無い、どこで生れたか", "夏目漱石"),
    ("百年の孤独（新潮文庫）", "ガブリエル・ガルシア＝マルケス"),
    ("紅樓夢", "曹雪芹"),
    ("채식주의자", "한강"),
    ("गोदान", "प्रेमचंद"),
    ("สี่แผ่นดิน", "คึกฤทธิ์ ปราโมช"),
    ("Emoji 👩‍👩‍👧 Book 😀📚", "🦊"),
]  # fmt: skip
