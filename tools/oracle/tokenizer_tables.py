"""Writes the tokenizer's tables (src/clip/tokenizer/tables/*.ts) from the libraries open_clip calls.

They are facts about characters, so that the tokenizer does not depend on the Unicode version of the JavaScript
engine it runs in:

- unicode.ts: classes of `regex` (the pattern's \\p{L} and \\p{N}) and of Python's own Unicode database
  (str.lower, str.isdecimal, what is assigned)
- html5.ts:   html.entities.html5
- mojibake.ts: the character classes of ftfy's heuristics and the single-byte encodings it tries

Run with the versions of requirements.txt and Python 3.11 (Unicode 14.0), from the root of the repository:

    python tools/oracle/tokenizer_tables.py && npx biome check --write src/clip/tokenizer/tables
"""
import html.entities
import platform
import unicodedata
from pathlib import Path

import ftfy
import ftfy.badness
import ftfy.chardata
import regex

OUT = Path(__file__).resolve().parents[2] / "src/clip/tokenizer/tables"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
VERSIONS = (
    f"Python {'.'.join(platform.python_version_tuple()[:2])} (Unicode {unicodedata.unidata_version}), "
    f"regex {regex.__version__}, ftfy {ftfy.__version__}"
)

# Bits of a property mask; unicode.ts in the folder above gives them their names.
LETTER, NUMBER, ASSIGNED, CASED, IGNORABLE, DECIMAL = (1 << i for i in range(6))


def base36(number: int) -> str:
    if number < 0:
        return "-" + base36(-number)
    text = ""
    while True:
        number, rest = divmod(number, 36)
        text = DIGITS[rest] + text
        if number == 0:
            return text


def mask_of(cp: int) -> int:
    char = chr(cp)
    surrogate = 0xD800 <= cp < 0xE000
    mask = 0
    if not surrogate and regex.match(r"\p{L}", char):
        mask |= LETTER
    if not surrogate and regex.match(r"\p{N}", char):
        mask |= NUMBER
    if unicodedata.category(char) != "Cn":
        mask |= ASSIGNED
    # str.lower() turns a final capital sigma into 'ς': after a cased character that is not case-ignorable, with
    # case-ignorable ones between. That shows both classes without reading Python's tables.
    if (char + "Σ").lower().endswith("ς"):
        mask |= CASED
    elif ("A" + char + "Σ").lower().endswith("ς"):
        mask |= IGNORABLE
    if char.isdecimal():
        mask |= DECIMAL
    return mask


def property_runs() -> str:
    runs: list[list[int]] = []
    for cp in range(0x110000):
        mask = mask_of(cp)
        if runs and runs[-1][0] == mask:
            runs[-1][1] += 1
        else:
            runs.append([mask, 1])
    return " ".join(f"{base36(mask)},{base36(length)}" for mask, length in runs)


def lower_runs() -> str:
    """`first,count,step,distance`: runs of single code points that lower to one at the same distance."""
    runs: list[list[int]] = []
    for cp in range(0x110000):
        lower = chr(cp).lower()
        # U+0130 alone becomes two code points; the code knows it by name.
        if lower == chr(cp) or len(lower) != 1:
            continue
        distance = ord(lower) - cp
        if runs:
            first, count, step, known = runs[-1]
            gap = cp - (first + (count - 1) * step)
            if known == distance and (gap == step if count > 1 else gap <= 2):
                runs[-1] = [first, count + 1, gap, distance]
                continue
        runs.append([cp, 1, 0, distance])
    several = [cp for cp in range(0x110000) if len(chr(cp).lower()) != 1]
    assert several == [0x130], several
    return " ".join(",".join(map(base36, run)) for run in runs)


def combining_runs() -> str:
    """`first,count,class`: code points of a canonical combining class other than 0."""
    runs: list[list[int]] = []
    for cp in range(0x110000):
        ccc = unicodedata.combining(chr(cp))
        if ccc == 0:
            continue
        if runs and runs[-1][0] + runs[-1][1] == cp and runs[-1][2] == ccc:
            runs[-1][1] += 1
        else:
            runs.append([cp, 1, ccc])
    return " ".join(",".join(map(base36, run)) for run in runs)


def html5_names() -> tuple[str, str]:
    """Names with their semicolon left out, as `name,cp[,cp]`; and the names that also stand without it."""
    names = html.entities.html5
    legacy = sorted(name for name in names if not name.endswith(";"))
    assert all(names[name + ";"] == names[name] for name in legacy)
    full = sorted(name[:-1] for name in names if name.endswith(";"))
    pairs = (",".join([name, *(base36(ord(char)) for char in names[name + ";"])]) for name in full)
    return " ".join(pairs), " ".join(legacy)


def literal(text: str) -> str:
    """A single-quoted TypeScript string: what prints stands as it is, the rest escaped."""
    out = ""
    for char in text:
        if char in "'\\":
            out += "\\" + char
        elif char.isprintable() and not unicodedata.combining(char) and ord(char) < 0xE000:
            out += char
        elif ord(char) < 0x100:
            out += f"\\x{ord(char):02x}"
        else:
            out += f"\\u{ord(char):04x}"
    return f"'{out}'"


def members(charset: str) -> str:
    """The sorted members of a regex character set written with ranges, itself written with ranges again."""
    found: set[int] = set()
    i = 0
    while i < len(charset):
        if i + 2 < len(charset) and charset[i + 1] == "-":
            found.update(range(ord(charset[i]), ord(charset[i + 2]) + 1))
            i += 3
        else:
            found.add(ord(charset[i]))
            i += 1
    assert ord("-") not in found
    out = ""
    for cp in sorted(found):
        if cp - 1 in found:
            continue
        last = cp
        while last + 1 in found:
            last += 1
        out += chr(cp) if last == cp else chr(cp) + ("-" if last > cp + 1 else "") + chr(last)
    return out


def wrapped(text: str, width: int = 96) -> str:
    """A long run of words as an array of lines, joined where it is read."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return "[\n" + "".join(f"  {literal(line)},\n" for line in lines) + "].join(' ')"


def write(name: str, about: str, body: str) -> None:
    head = f"/**\n{about}\n *\n * Made by `tools/oracle/tokenizer_tables.py` with\n * {VERSIONS}; change it there.\n */\n\n"
    (OUT / name).write_text(head + body, encoding="utf-8")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    write(
        "unicode.ts",
        " * What Python and its `regex` module know of each code point. Facts of the Unicode Character Database\n"
        " * (Unicode License v3), as those two give them.",
        "/** `mask,length` in base 36 from U+0000 to U+10FFFF; the bits are named in `../unicode.ts`. */\n"
        f"export const PROPERTY_RUNS: string = {wrapped(property_runs())};\n\n"
        "/** `first,count,step,distance` in base 36: code points whose `str.lower()` is one code point elsewhere. */\n"
        f"export const LOWER_RUNS: string = {wrapped(lower_runs())};\n\n"
        "/** `first,count,class` in base 36: code points with a canonical combining class other than 0. */\n"
        f"export const COMBINING_RUNS: string = {wrapped(combining_runs())};\n",
    )
    full, legacy = html5_names()
    write(
        "html5.ts",
        " * The named character references of HTML 5 (WHATWG's list, as Python's `html.entities.html5` has it).",
        "/** `name,code point[,code point]` in base 36, the names without their semicolon. */\n"
        f"export const HTML5_NAMES: string = {wrapped(full)};\n\n"
        "/** The names that are also references without a semicolon. */\n"
        f"export const HTML5_WITHOUT_SEMICOLON: string = {wrapped(legacy)};\n",
    )
    categories = "".join(
        f"  {name}: {literal(members(chars))},\n"
        for name, chars in ftfy.badness.MOJIBAKE_CATEGORIES.items()
    )
    clues = "".join(
        f"  {name.removeprefix('utf8_')}: {literal(members(chars))},\n"
        for name, chars in ftfy.chardata.UTF8_CLUES.items()
    )
    encodings = ""
    for encoding in ftfy.chardata.CHARMAP_ENCODINGS:
        decoded = bytes(range(256)).decode(encoding)
        assert len(set(decoded)) == 256
        # The lower half is ASCII, but that the sloppy codecs read byte 1A as U+FFFD.
        changed = [byte for byte in range(128) if ord(decoded[byte]) != byte]
        assert changed == ([0x1A] if encoding.startswith("sloppy-") else [])
        encodings += f"  '{encoding}': {literal(decoded[128:])},\n"
    write(
        "mojibake.ts",
        " * Character classes of ftfy's heuristics (`badness.py`, `chardata.py`; Robyn Speer, Apache License 2.0) and\n"
        " * the single-byte encodings that it tries, in its order. The classes are sets in a regex's notation.",
        f"export const CATEGORIES = {{\n{categories}}};\n\n"
        "/** What the lead and continuation bytes of UTF-8 look like in the encodings below. */\n"
        f"export const UTF8_CLUES = {{\n{clues}}};\n\n"
        "/** Bytes 80 to FF. A `sloppy-` encoding also reads byte 1A as U+FFFD. */\n"
        f"export const ENCODINGS = {{\n{encodings}}};\n",
    )


main()
