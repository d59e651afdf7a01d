"""Goldens for test/select/captions.test.ts and text-based.test.ts: Python, fastText 0.9.2 and NLTK 3.8.1.

    NLTK_DATA=… python tools/oracle/caption_goldens.py LIST [ALL]

LIST: ImageNet-21k's synsets, as for entity_table.py; NLTK_DATA: made by wordnet_corpus.py. Versions in
requirements-datacomp.txt; seeded. Writes test/fixtures/baselines/captions.json and words.txt.gz. ALL: a file for the
whole comparison instead of a sample of it (every lemma, every exception, 1.2 million inflections and other words),
to be read by tools/oracle/words-compare.ts.
"""
import gzip
import json
import pathlib
import random
import sys

import fasttext
from nltk.corpus import wordnet

ROOT = pathlib.Path(__file__).resolve().parents[2] / "test" / "fixtures" / "baselines"
POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
ENDINGS = ["s", "ses", "ves", "xes", "zes", "ches", "shes", "men", "ies", "es", "ed", "ing", "er", "est"]
# Both sides of every range that Python, JavaScript or fastText takes for a space, and what is longer than one unit.
UNITS = [*range(0x00, 0x30), 0x7F, 0x80, 0x84, 0x85, 0x86, 0x9F, 0xA0, 0xA1, 0x167F, 0x1680, 0x1681, 0x180E, 0x1FFF,
         *range(0x2000, 0x2010), *range(0x2027, 0x2030), 0x205E, 0x205F, 0x2060, 0x2FFF, 0x3000, 0x3001, 0xD7FF,
         0xE000, 0xFEFF, 0xFFFF, 0x10000, 0x1F600, 0x10FFFF]


def strings(rng):
    chars = [chr(unit) for unit in UNITS]
    yield from ["", " ", "\n", "\n\n", "a\n", "\na", "</s>", "a </s> b", "e\u0301", "👩‍👩‍👧‍👦", "🇬🇧 🇫🇷"]
    yield from (f"a{char}b" for char in chars)
    mixed = chars + ["a", "b", "é", "</s>", " ", "\n"] * 4
    for _ in range(400):
        yield "".join(rng.choices(mixed, k=rng.randrange(14)))


def vocabulary(rng):
    """Lemmas, exceptions, inflections of lemmas right and wrong, other cases, and words that are none."""
    reader = wordnet._lemma_pos_offset_map
    lemmas = sorted(lemma for lemma in reader if reader[lemma])
    exceptions = sorted({form for pos in POS for form in wordnet._exception_map[pos]})
    inflected = set()
    for lemma in lemmas:
        inflected.update(lemma + ending for ending in (ENDINGS if rng.random() < 0.25 else rng.sample(ENDINGS, 2)))
        if lemma[-1] in "efy" or lemma.endswith("man"):
            inflected.update([lemma[:-1] + "ies", lemma[:-1] + "ing", lemma[:-1] + "ed", lemma[:-1] + "ves",
                              lemma[:-2] + "en"])
    other = set()
    for lemma in rng.sample(lemmas, 20000):
        other.update([lemma.upper(), lemma.title(), lemma + ",", lemma.replace("k", "\u212a"),
                      lemma.replace("i", "\u0130"), lemma + "".join(rng.choices(ENDINGS, k=2))])
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    for _ in range(200_000):
        other.add("".join(rng.choices(letters, k=rng.randrange(1, 7))) + rng.choice(["", *ENDINGS]))
    for _ in range(20_000):
        other.add("".join(rng.choices(ENDINGS, k=rng.randrange(1, 6))))
    return [lemmas, exceptions, sorted(inflected), sorted(other)]


def main():
    entities = {int(line[1:]) for line in pathlib.Path(sys.argv[1]).read_text("ascii").split()}
    wordnet.synsets("dog")  # loads the corpus
    rng = random.Random(20240601)
    ROOT.mkdir(parents=True, exist_ok=True)

    def is_entity(word):
        synsets = wordnet.synsets(word)
        return len(synsets) > 0 and synsets[0].offset() in entities

    kinds = vocabulary(rng)
    if len(sys.argv) > 2:
        words, out = sorted(set().union(*kinds)), pathlib.Path(sys.argv[2])
    else:
        named = {"K\u212aay", "dogsss", "ice_cream"}
        words = sorted(named.union(*(rng.sample(kind, 3000) for kind in kinds)))
        out = ROOT / "words.txt.gz"
        rows = [[text, len(text.split()), len(text), len(fasttext.tokenize(text))] for text in strings(rng)]
        lines = ",\n".join(json.dumps(row) for row in rows)
        (ROOT / "captions.json").write_text(f"[\n{lines}\n]\n")
    assert all(word.split() == [word] for word in words)
    text = "".join(f"{int(is_entity(word))} {word}\n" for word in words)
    out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(words)} words")


if __name__ == "__main__":
    main()
