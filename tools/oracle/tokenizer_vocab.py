"""Cuts OpenAI's list of merges to those that CLIP's vocabulary uses (assets/clip-vocab/merges.txt.gz).

From the installed open_clip_torch of requirements.txt, in the root of the repository:

    python tools/oracle/tokenizer_vocab.py
"""
import gzip
import hashlib
from pathlib import Path

from open_clip.tokenizer import default_bpe

OUT = Path(__file__).resolve().parents[2] / "assets/clip-vocab/merges.txt.gz"
# 49,408 entries less 256 bytes, the same at the end of a word, and the two marks.
COUNT = 49_408 - 512 - 2

source = Path(default_bpe()).read_bytes()
header, *lines = gzip.decompress(source).decode("utf-8").split("\n")
assert header == '"bpe_simple_vocab_16e6.txt#version: 0.2', header
text = "".join(line + "\n" for line in lines[:COUNT]).encode("utf-8")
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_bytes(gzip.compress(text, 9, mtime=0))
for name, data in [("source", source), ("merges.txt", text), ("merges.txt.gz", OUT.read_bytes())]:
    print(f"{name}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}")
