"""Which metadata entries MetaCLIP's own code finds in captions.

    python tools/oracle/metaclip_matching.py METACLIP > test/fixtures/metaclip/matches.json

METACLIP: a checkout of github.com/facebookresearch/MetaCLIP (the goldens: its `metaclip1/substr_matching.py`).
"""
import importlib.util
import json
import pathlib
import random
import sys

ENTRIES = ["cat", "new york", "new york city", "york", "new", "a", "photo", "photo of", "naïve", "猫", "U.S.", "wi-fi",
           "black cat", "cat black", "?", ", cat", "the", "end", "New York", "50%", "don't", "dog . cat"]
CAPTIONS = [
    "", " ", "cat", "Cat", "a cat", "a cat.", "cats", "concat", "new york city", "new  york", "new york,city",
    "New York city", "photo of a black cat, black", "naïve 猫", "猫", "the U.S. end", "the U . S . end", "wi-fi wi fi",
    "what?cat", "a\tcat\nthe\rend", "a\u00a0cat", "dog.cat", "dog . cat", "50% `cat`", "don't", "cat cat cat",
    "photo:cat;dog!", "new york new york city", "end", "the end ",
]


def main():
    path = pathlib.Path(sys.argv[1]) / "metaclip/metaclip1/substr_matching.py"
    spec = importlib.util.spec_from_file_location("substr_matching", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = random.Random(1)
    pieces = [*ENTRIES, " ", "  ", ",", ".", "?", "\t", "x", "cat,", "new york."]
    captions = CAPTIONS + ["".join(rng.choice(pieces) + rng.choice([" ", "", "  "]) for _ in range(rng.randint(1, 8)))
                           for _ in range(120)]
    print(json.dumps({"entries": ENTRIES, "captions": [[text, module.substr_matching(text, ENTRIES)] for text in captions]},
                     ensure_ascii=False, indent=0))


if __name__ == "__main__":
    main()
