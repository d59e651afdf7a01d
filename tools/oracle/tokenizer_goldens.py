"""Token ids from open_clip itself: the tokenizer's goldens, and random captions for a wider comparison.

With the versions of requirements.txt and Python 3.11, from the root of the repository:

    python tools/oracle/tokenizer_goldens.py
        writes test/fixtures/tokenizer/{captions.jsonl.gz,code-points.json}
    python tools/oracle/tokenizer_goldens.py --fuzz 200000 --seed 7 --out fuzz.jsonl
        writes random captions only, to be compared by `node tools/oracle/tokenizer-compare.ts fuzz.jsonl`

A row of captions.jsonl is [caption, ids as open_clip gives them less the padding, truncated].
"""
import argparse
import gzip
import hashlib
import html
import html.entities
import json
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import regex
from open_clip.tokenizer import SimpleTokenizer

OUT = Path(__file__).resolve().parents[2] / "test/fixtures/tokenizer"
SEED = 20260601
CONTEXT = 77
TOKENIZER = SimpleTokenizer()

ENGLISH = [
    "a photo of a cat",
    "Vintage 1950's Wooden Chair (set of 4) - $129.99 FREE shipping!!!",
    "I'm sure they've said we'll go; she'd've known, it's John's, isn't it?",
    "DON'T SHOUT: THEY'RE HERE, WE'VE SEEN 'EM",
    "Women's Black/White Floral-Print V-Neck Maxi Dress | Size 10-12 | SKU#A1b2C3",
    "https://www.example.com/images/2021/05/photo_001-1024x768.jpg?w=640&h=480",
    "IMG_20190504_142512.jpg",
    "Download Sunset Beach Stock Image - Image: 12345678",
    "\tleading, trailing   and\n inner \r\n white\x0b space\x0c ",
    "3.14159 1,000,000 12/31/1999 50% +1-800-555-0199 H2O x² m³ ½ cup",
    "supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "#throwback @someone :-) <3 \\o/ ¯\\_(ツ)_/¯ (╯°□°)╯︵ ┻━┻",
    "<div class=\"a\">tag &amp; text</div>",
    "R&B, AT&T, Q&A, this&not that, &copy 2020 &reg; &trade;",
    "", " ", "\n", ".", "'", "''s", "a", "é",
]
WORLD = [
    "Un gâteau d'anniversaire à la crème brûlée, voilà l'été où naître",
    "Mädchen mit roter Mütze läuft über die Straße in Köln – „schön“",
    "El niño comió piñas en la montaña; ¿qué pasó? ¡Olé!",
    "Fotografia de uma praça em São Paulo, coração às três horas, àquela",
    "Città più bella perché è così",
    "Zażółć gęślą jaźń, Łódź i Kraków",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép, Győr",
    "În țara șarpelui și a măslinului",
    "İstanbul'da IĞDIR ışık ve çiçek, ŞIŞLİ",
    "Ķekava, Ģirts, šķūnis, ēst, ļoti",
    "Smörgåsbord på Åland, fjällräven, æbleskiver, ø, Þingvellir",
    "Tiếng Việt: một bức ảnh đẹp của Hà Nội, phở bò",
    "Фотография кошки на подоконнике, Москва 2019 год, ёлка",
    "Світлина: київський дворик, її ґанок, їжак",
    "Снимка на планината Рила",
    "Φωτογραφία μιας γάτας στην Αθήνα· ΟΔΥΣΣΕΥΣ, ΌΛΟΣ ΣΑΣ Σ. ΑΣ'Σ",
    "صورة قطة جميلة في القاهرة ٢٠٢٠، مرحبا",
    "תמונה של חתול ירושלים שָׁלוֹם",
    "عکس گربه زیبا در تهران می‌خواهم",
    "बिल्ली की एक सुंदर तस्वीर, नमस्ते दुनिया १२३",
    "একটি বিড়ালের ছবি",
    "பூனையின் அழகான படம்",
    "ภาพถ่ายของแมวน่ารักในกรุงเทพ",
    "猫的照片,北京天安门广场2008年",
    "夜の東京タワーの写真、ｶﾀｶﾅ、ひらがな、パリ！？",
    "ＦＵＬＬＷＩＤＴＨ　ＴＥＸＴ　１２３　￥￡￠￣｜（）",
    "서울의 밤 사진, 고양이 ﾡﾢ 각 ᄒ",
    "კატის ფოტო თბილისში ᲐᲑᲒ",
    "Կատվի լուսանկար Երևանում ԵՐԵՎԱՆ և",
    "የድመት ፎቶ",
    "ᏣᎳᎩ ꭰꭱ ꮳꮃꭹ",
    "𝔉𝔞𝔫𝔠𝔶 𝓉𝑒𝓍𝓉 Ⓒⓘⓡⓒⓛⓔ ①②③ Ⅷ ⅷ ½ ⁵ ₂ 𝟘𝟙",
    "🐈‍⬛ black cat 👨‍👩‍👧‍👦 family 🏴󠁧󠁢󠁷󠁬󠁳󠁿 🇫🇷 👍🏽 ❤️ 1️⃣ ☺︎",
    "“Curly” ‘quotes’ ‚low‛ „double‟ ʼn ŉ — en–dash … ellipsis",
    "ﬁne ﬂuﬃest oﬀer ﬅ ﬆ Ĳssel ĳs ǆ ǅ Ǆ ǈ ǋ ǲ",
    "Zoe\u0308 e\u0301 A\u030a \u212b \u2126 \u1e9b\u0323 q\u0307\u0323 \u1100\u1161\u11a8 \uac00\u11a8 \u0958 \u0344",
    "soft\u00adhyphen zero\u200bwidth\u200c\u200d\u2060 \ufeffbom \u202eRTL\u202c \u206aold\u206f \ufffc\ufff9",
]
SPECIAL = [
    "a <start_of_text> b <end_of_text> c",
    "<start_of_text><end_of_text>",
    "<END_OF_TEXT> <Start_Of_Text>",
    "!<end_of_text>", "a<end_of_text>b", "<end_of_text", "<<end_of_text>>", "&lt;end_of_text&gt;", "<\u017ftart_of_text>",
    "it'\u017f x'\u017ft '\ufb05 '\ufb06", "a\u0345b \u0345 1\u0345\u03b9 #\u0345#", "\u212a \u212b 'K \u0130 \u0131 \u1e9e \u01f0",
    "<end_of_text> " * 3 + "cat " * 80,
]
CONTROL = [
    "\x1b[36;44mI'm blue\x1b[0m \x1b[\u0663m \x1b[1;2 \x1b[\x1b[m", "a\x00b\x07c\x7fd\x1ae", "a\x85b\u2028c\u2029d\re\r\nf",
    "c1 \x80\x81\x8d\x91\x92\x93\x99\x9d", "\x1c\x1d\x1e\x1f a\x1cb", "tab\tvt\x0bff\x0c", "\u180e\u200b\u3000\u205f\u1680",
]
ENTITIES = [
    "&amp;amp;amp;lt;b&amp;gt;", "&AMP; &Amp; &NTILDE; &nTILDE; &EACUTE;T&EACUTE; &SZLIG; &HEARTS; &CAPS;", "&notit; &notin; &not &no; &;",
    "&#65;&#x41;&#X41 &#65a &#0; &#00; &#128;&#x9f;&#150;&#129; &#13;x&#11;&#1;", "&#xD800; &#1114112; &#99999999999999999999; &#xFDD0; &#xFFFE;",
    "&#59; &#x3b; &semi; &#38;amp; &#38;#38;#38;lt;", "&CounterClockwiseContourIntegral; &NotNestedGreaterGreater;", "&bne; &NotEqualTilde; &fjlig;",
    "&hearts without &copy2 &ampamp; &eacutetude", "&nbsp;&ensp;x&zwj;&shy;", "5 &lt 6 &gt 3 & &# &#x &#; &#x;", "x<y &eacute;\n&eacute; z",
    "line &eacute;\n<b>&eacute;</b>\n&eacute;", "&amp;" + "amp;" * 40 + "quot;", "&amp;amp;eacute;\xe9 &amp;#38;amp;#8217;",
]
CHARMAPS = [
    "latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso-8859-2", "mac_roman", "cp437",
    "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253", "sloppy-windows-1254",
    "sloppy-windows-1257", "cp1255", "cp1256", "cp1258", "koi8-r", "cp850",
]


def mojibake(text: str, encoding: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode(encoding, "replace")


def cesu(text: str) -> str:
    """The Latin-1 reading of CESU-8, with U+0000 as Java writes it."""
    raw = b"".join(
        char.encode("utf-16-be").decode("utf-16-be").encode() if ord(char) < 0x10000 else
        b"".join(chr(unit).encode("utf-8", "surrogatepass") for unit in memoryview(char.encode("utf-16-le")).cast("H"))
        for char in text
    )
    return raw.replace(b"\0", b"\xc0\x80").decode("latin-1")


def damaged(rng: random.Random, text: str) -> str:
    """What happens to mojibake on its way: no-break spaces become spaces, bytes are lost, cases change."""
    for _ in range(rng.randrange(3)):
        kind = rng.randrange(8)
        if kind == 0:
            text = text.replace("\xa0", " ")
        elif kind == 1:
            text = "".join("\ufffd" if "\x80" <= c <= "\x9f" else c for c in text)
        elif kind == 2:
            text = "".join("?" if c > "\x7f" and rng.random() < 0.1 else c for c in text)
        elif kind == 3 and text:
            at = rng.randrange(len(text))
            text = text[:at] + text[at + 1 :]
        elif kind == 4:
            text += rng.choice(["\n", "\xc0\n", "\xa0", "\x1a", "\ufffd", "\xed\xa0\xbd\xed\xb8\n"])
        elif kind == 5:
            text = rng.choice([text.lower, text.upper, text.title])()
        elif kind == 6:
            text = rng.choice(WORLD) + " " + text
        else:
            text = html.escape(text).encode("ascii", "xmlcharrefreplace").decode()
    return text


def fragments(rng: random.Random) -> str:
    """A piece of a caption of any of the kinds above."""
    kind = rng.randrange(16)
    words = rng.choice(WORLD if rng.random() < 0.7 else ENGLISH).split(" ")
    start = rng.randrange(len(words))
    text = " ".join(words[start : start + rng.randint(1, 5)])
    if kind < 5:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            text = mojibake(text, rng.choice(CHARMAPS))[:400]
        return damaged(rng, text)
    if kind == 5:
        return damaged(rng, cesu(text + rng.choice(["", "😀", "\0", "🐈‍⬛"])))
    if kind == 6:
        name = rng.choice(ENTITY_NAMES)
        name = rng.choice([name, name, name.upper(), name.lower(), name[:-1], name[: rng.randint(1, len(name))]])
        return "&" + rng.choice(["", "", "", "amp;", "#38;"]) + name + rng.choice(["", ";", " ", "x"])
    if kind == 7:
        number = rng.choice([rng.randrange(0x300), rng.randrange(0x3000), rng.randrange(0x120000), 10 ** rng.randrange(30)])
        return rng.choice(["&#{};", "&#{}", "&#x{:x};", "&#X{:X}", "&amp;#{};", "&#0{};"]).format(number)
    if kind == 8:
        return "".join(rng.choice(MOJIBAKE_CHARS) for _ in range(rng.randint(1, 12)))
    if kind == 9:
        return "".join(random_char(rng) for _ in range(rng.randint(1, 8)))
    if kind == 10:
        return "".join(rng.choice(SIGMA_CHARS) for _ in range(rng.randint(1, 8)))
    if kind == 11:
        return rng.choice("aeouAEOUqα가ᄀदअ") + "".join(rng.choice(MARKS) for _ in range(rng.randint(1, 6)))
    if kind == 12:
        return rng.choice(SPECIAL + CONTROL + ENTITIES)
    if kind == 13:
        return "".join(rng.choice("abcdeilnorstu'- ") for _ in range(rng.randint(1, 30)))
    if kind == 14:
        return "".join(rng.choice("&#xX;ampltgquonbs0123456789<\x1b[m\r\n\x85 é") for _ in range(rng.randint(1, 24)))
    return text


def random_char(rng: random.Random) -> str:
    top = rng.choice([0x80, 0x250, 0x600, 0x3000, 0x10000, 0x20000, 0x110000])
    return chr(rng.randrange(top))


def random_caption(rng: random.Random) -> str:
    return rng.choice(["", " ", " ", "\n"]).join(fragments(rng) for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 8])))


ENTITY_NAMES = sorted(html.entities.html5)
MOJIBAKE_CHARS = sorted(
    {c for e in CHARMAPS[:16] for c in bytes(range(0x80, 0x100)).decode(e, "replace")} | set("aAzZ .,?!_1\n\ufb01Āŕ")
)
SIGMA_CHARS = ["Σ", "Σ", "ς", "a", "Α", "'", ".", "\u00ad", "\u0301", "\u0345", "1", " ", "ʰ", "ª", "🅰", "𝐀", "·", "é", "中", ":"]
MARKS = [chr(cp) for cp in range(0x110000) if unicodedata.combining(chr(cp)) or unicodedata.category(chr(cp)) == "Mc"] + [
    chr(cp) for cp in range(0x1161, 0x11C3)
] + ["\U0001e6e3", "\u0897", "\U00010d69", "\U00016d67"]


def encode(text: str, context: int = CONTEXT) -> tuple[list[int], bool]:
    """The ids of SimpleTokenizer.__call__ less the padding, and whether it cut them."""
    ids = [TOKENIZER.sot_token_id, *TOKENIZER.encode(text), TOKENIZER.eot_token_id]
    truncated = len(ids) > context
    # A padded row cannot tell a padding 0 from the token 0, so the length comes from the uncut ids.
    row = TOKENIZER([text], context_length=context)[0].tolist()
    assert not any(row[len(ids) :])
    # Its cache of words is never emptied.
    if len(TOKENIZER.cache) > 200_000:
        TOKENIZER.cache = {mark: mark for mark in ("<start_of_text>", "<end_of_text>")}
    return row[: len(ids)], truncated


def golden_captions() -> Iterator[str]:
    rng = random.Random(SEED)
    plain = ENGLISH + WORLD + SPECIAL + CONTROL + ENTITIES
    yield from plain
    for i, encoding in enumerate(CHARMAPS):
        for text in WORLD[i % 2 :: 2]:
            once = mojibake(text, encoding)
            yield once
            if encoding in CHARMAPS[:10:3]:
                yield mojibake(once, encoding)[:200]
    for text in WORLD:
        yield cesu(text)
        yield text.upper()
        yield html.escape(text).encode("ascii", "xmlcharrefreplace").decode()
    for start in range(0, len(ENTITY_NAMES), 16):
        yield "".join("&" + name for name in ENTITY_NAMES[start : start + 16])
        yield " ".join("&" + name.upper() for name in ENTITY_NAMES[start : start + 16])
    # Lengths about the cut, and captions far longer than it.
    yield from ("cat " * n for n in range(70, 80))
    yield from ("cat " * n + "supercalifragilistic" for n in range(70, 76))
    yield "a" * 3000
    yield "".join(rng.choice("etaoinshrdlu") for _ in range(3000))
    yield from ("e" + "".join(rng.choice(MARKS) for _ in range(200)) + "\n" for _ in range(8))
    yield " ".join(plain)
    yield "\n".join(plain)
    # One segment longer than ftfy's limit, cut in the middle of mojibake and past the Basic Multilingual Plane.
    yield "x " * 20 + " " * (1_000_000 - 42) + "\U0001f600Ã©Ã© caf\xc3\xa9"
    # Lone surrogates, as an escape in JSON can bring them.
    yield from ("\ud800", "a\udc00b", "\udc00\ud83d x", "cat \ud83d\ud83d\ude00 dog", "Ã©\ud800", "\ud800\n\xe9")
    for _ in range(1500):
        yield random_caption(rng)[:200]


def as_utf16(text: str) -> str:
    """Surrogates that JavaScript would hold as a pair, joined as there."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def rows(captions: Iterator[str]) -> Iterator[str]:
    for caption in map(as_utf16, captions):
        yield json.dumps([caption, *encode(caption)], separators=(",", ":")) + "\n"


def code_point_lines(block: int) -> str:
    """The 256 code points of a block, each alone and beside letters, numbers, signs, a sigma and a mark."""
    points = (chr(cp) for cp in range(block << 8, (block + 1) << 8) if not 0xD800 <= cp < 0xE000)
    return "\n".join(f"{c} a{c}b1{c}#{c}'s A{c}Σ e{c}\u0301 Ã{c}" for c in points)


def code_points() -> dict[str, str]:
    """For blocks that hold anything assigned: the start of SHA-256 over their ids (32-bit, little-endian)."""
    digests = {}
    # Of scripts of thousands of like letters and of private use, a part stands for all.
    alike = [*range(0x34, 0xA0), *range(0xAC, 0xD8), *range(0xE0, 0xF9), *range(0x170, 0x18D), *range(0x200, 0x1100)]
    thinned = {block for block in alike if block % 16 not in (0, 15) and block not in (0xE01,)}
    for block in range(0x1100):
        if block in thinned or not any(regex.match(r"\P{Cn}", chr(cp)) for cp in range(block << 8, (block + 1) << 8)):
            continue
        ids, _ = encode(code_point_lines(block), 1 << 20)
        raw = b"".join(value.to_bytes(4, "little") for value in ids)
        digests[f"{block:x}"] = hashlib.sha256(raw).hexdigest()[:12]
    return digests


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fuzz", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.fuzz is not None:
        rng = random.Random(args.seed)
        with args.out.open("w") as out:
            out.writelines(rows(random_caption(rng) for _ in range(args.fuzz)))
        return
    OUT.mkdir(parents=True, exist_ok=True)
    text = "".join(rows(golden_captions()))
    (OUT / "captions.jsonl.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    (OUT / "code-points.json").write_text(json.dumps(code_points(), indent=0) + "\n")


if __name__ == "__main__":
    main()
