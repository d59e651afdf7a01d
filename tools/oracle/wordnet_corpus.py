"""NLTK's wordnet corpus made of Debian's `wordnet-base` (WordNet 3.0), in place of `nltk.download`.

    python tools/oracle/wordnet_corpus.py NLTK_DATA [WORDNET=/usr/share/wordnet]

Debian leaves out two files that NLTK opens: lexnames, which no lookup of offsets uses (its 45 names are in
WordNet's lexnames(5)), and index.sense, which may be empty.
"""
import pathlib
import shutil
import sys

LEXNAMES = """adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body
noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object
noun.person noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state
noun.substance noun.time verb.body verb.change verb.cognition verb.communication verb.competition verb.consumption
verb.contact verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
verb.weather adj.ppl""".split()
NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def make_corpus(data, wordnet="/usr/share/wordnet"):
    corpus = pathlib.Path(data) / "corpora" / "wordnet"
    corpus.mkdir(parents=True, exist_ok=True)
    for pos in NUMBERS:
        for name in [f"index.{pos}", f"data.{pos}", f"{pos}.exc"]:
            shutil.copyfile(pathlib.Path(wordnet) / name, corpus / name)
    shutil.copyfile(pathlib.Path(wordnet) / "cntlist.rev", corpus / "cntlist.rev")
    lines = [f"{i:02d}\t{name}\t{NUMBERS[name.split('.')[0]]}\n" for i, name in enumerate(LEXNAMES)]
    (corpus / "lexnames").write_text("".join(lines))
    (corpus / "index.sense").write_text("")
    return corpus


if __name__ == "__main__":
    print(make_corpus(*sys.argv[1:]))
