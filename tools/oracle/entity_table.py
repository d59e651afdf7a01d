"""Makes assets/wordnet/entities.txt.gz: which words DataComp's text_based baseline takes for an ImageNet-21k entity.

    python tools/oracle/entity_table.py WORDNET LIST

WORDNET: the folder of WordNet 3.0's index.* and *.exc files (Debian: wordnet-base's /usr/share/wordnet). LIST:
ImageNet-21k's synsets, one `n00004475` a line: the file whose sha256 DataComp demands, which PyPI's timm has as
timm/data/_info/imagenet21k_goog_synsets.txt. Standard library only; prints the sums that assets/wordnet/README.md has.

The table holds no offsets: of a lemma's synsets in one part of speech only the first decides, and of it only whether
its offset is in the list. Format, after gunzip (ASCII, lines end in \\n):

    shardsieve-entities 1
    =xo--          a group of lemmas by their state as noun, verb, adjective, adverb:
                   - is no such lemma, o its first synset's offset is not in the list, x it is
    0aardvark      units shared with the lemma before in this group, as one base-36 digit, then the rest
    !noun          exceptions of one part of speech: an inflected form and its lemmas
    aardwolves aardwolf
"""
import collections
import gzip
import hashlib
import pathlib
import sys

POS = ["noun", "verb", "adj", "adv"]  # NLTK's order
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
LIST_SHA256 = "66362bdedf36d933382edca5493fc562dcc17128ce36403c9e730a75f48cb2f2"
OUT = pathlib.Path(__file__).resolve().parents[2] / "assets" / "wordnet" / "entities.txt.gz"


def first_synsets(path):
    """Lemma and offset of its first synset, for each line of an index file."""
    for line in path.read_text("ascii").splitlines():
        if line.startswith(" "):
            continue  # the licence
        fields = line.split()
        pointers = int(fields[3])
        yield fields[0], int(fields[6 + pointers])


def groups(wordnet, entities):
    states = collections.defaultdict(lambda: ["-"] * len(POS))
    for i, pos in enumerate(POS):
        for lemma, offset in first_synsets(wordnet / f"index.{pos}"):
            assert states[lemma][i] == "-", f"{lemma} twice in index.{pos}"
            states[lemma][i] = "x" if offset in entities else "o"
    by_state = collections.defaultdict(list)
    for lemma, state in states.items():
        by_state["".join(state)].append(lemma)
    return by_state


def shared(a, b):
    """Length of the common start, at most what one digit holds."""
    n = 0
    while n < min(len(a), len(b), len(DIGITS) - 1) and a[n] == b[n]:
        n += 1
    return n


def exceptions(path):
    """Form to lemmas; of a form that is there twice the last line counts, as in NLTK's dict."""
    lines = [line.split() for line in path.read_text("ascii").splitlines()]
    return {form: lemmas for form, *lemmas in lines}


def main():
    wordnet, listed = map(pathlib.Path, sys.argv[1:])
    data = listed.read_bytes()
    assert hashlib.sha256(data).hexdigest() == LIST_SHA256, f"{listed} is not the list DataComp uses"
    entities = {int(line[1:]) for line in data.decode("ascii").split()}

    lines = ["shardsieve-entities 1"]
    for state, lemmas in sorted(groups(wordnet, entities).items()):
        lines.append(f"={state}")
        before = ""
        for lemma in sorted(lemmas):
            n = shared(before, lemma)
            lines.append(DIGITS[n] + lemma[n:])
            before = lemma
    for pos in POS:
        lines.append(f"!{pos}")
        lines += [" ".join([form, *lemmas]) for form, lemmas in sorted(exceptions(wordnet / f"{pos}.exc").items())]

    text = ("\n".join(lines) + "\n").encode("ascii")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"entities.txt: {len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()}; gzipped {OUT.stat().st_size}")
    for path in [*(wordnet / f"index.{pos}" for pos in POS), *(wordnet / f"{pos}.exc" for pos in POS), listed]:
        print(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
