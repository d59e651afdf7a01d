"""Goldens for test/language and test/annotate, from PyPI's fasttext 0.9.3 and gcld3 3.0.13.

    python tools/oracle/language_goldens.py                     writes test/fixtures/language and test/fixtures/annotate
    python tools/oracle/language_goldens.py --captions F OUT    answers for a JSON list of captions, for a larger look

What is asked is what DataComp's baselines/apply_filter.py asks: newlines as spaces, the first label of fastText's
predict, gcld3 with 0 and 1000 bytes. lid.176.ftz is the one that ships with the npm package fasttext.wasm.js; its
SHA-256 is checked. The small model is trained here, on the sentences below: it stands for any uncompressed .bin.
"""
import gzip
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import fasttext
import gcld3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "test" / "fixtures"
LID = ROOT / "node_modules/fasttext.wasm.js/dist/models/language-identification/assets/lid.176.ftz"
LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

SENTENCES = {
    "en": ["A red fox sits in the snow", "Two boats on a quiet lake at dawn", "vintage poster, framed", "Blue cotton shirt for men - size L"],
    "de": ["Ein roter Fuchs sitzt im Schnee", "Zwei Boote auf einem stillen See", "Schönes Haus mit großem Garten", "Blaues Hemd für Herren"],
    "fr": ["Un renard roux assis dans la neige", "Deux bateaux sur un lac tranquille", "Belle maison à vendre près de la forêt", "chemise bleue pour homme"],
    "es": ["Un zorro rojo sentado en la nieve", "Dos barcos en un lago tranquilo", "Camisa azul para hombre, talla grande", "¿Dónde está la biblioteca?"],
    "ru": ["Рыжая лиса сидит на снегу", "Две лодки на тихом озере", "Синяя рубашка для мужчин", "Красивый дом с большим садом"],
    "ja": ["赤い狐が雪の中に座っている", "静かな湖に浮かぶ二隻の船", "青いシャツ メンズ", "大きな庭のある美しい家"],
    "zh": ["一只红色的狐狸坐在雪地里", "宁静湖面上的两艘船", "蓝色男士衬衫", "带大花园的漂亮房子"],
    "ar": ["ثعلب أحمر يجلس في الثلج", "قاربان على بحيرة هادئة", "قميص أزرق للرجال"],
    "hi": ["लाल लोमड़ी बर्फ में बैठी है", "शांत झील पर दो नावें", "पुरुषों के लिए नीली कमीज"],
    "ko": ["붉은 여우가 눈 속에 앉아 있다", "고요한 호수 위의 배 두 척"],
    "el": ["Μια κόκκινη αλεπού κάθεται στο χιόνι", "Δύο βάρκες σε μια ήσυχη λίμνη"],
    "pt": ["Uma raposa vermelha sentada na neve", "Dois barcos num lago tranquilo"],
    "tr": ["Karda oturan kızıl bir tilki", "İstanbul'da güzel bir ev"],
    "vi": ["Một con cáo đỏ ngồi trong tuyết", "Hai chiếc thuyền trên mặt hồ yên tĩnh"],
    "pl": ["Rudy lis siedzi na śniegu", "Dwie łodzie na spokojnym jeziorze"],
    "th": ["สุนัขจิ้งจอกแดงนั่งอยู่ในหิมะ"],
    "he": ["שועל אדום יושב בשלג"],
    "ka": ["წითელი მელა თოვლში ზის"],
    "eo": ["Ruĝa vulpo sidas en la neĝo"],
    "sw": ["Mbweha mwekundu ameketi kwenye theluji"],
}

ODD = [
    "", " ", "  \t ", "\n", "\n\n", "\0", "a\0b", "hello world\0this is English", "\0hello", "</s>", "a </s> b",
    "hello </s> world, this is", "</s>\n</s>", "__label__en", "__label__fr bonjour", "the __label__de cat", "🙂",
    "🙂🙂 emoji 👩‍👩‍👧", "\ufeffhello there", "\ufffe hello there", "\uffff hello there", "hello \x01 world this is text",
    "\x85 next line", "\u2028line", "a\r\nb", "a\rb", "\x0b\x0c", "x" * 10000, "the cat sat on the mat " * 450,
    "кошка сидит на коврике " * 450, "猫" * 5000, "12345 67890", "!!!", "http://www.example.com/foo.jpg", "IMG_1234.JPG",
    "a", "é", "e\u0301", "ß", "ﬁ ligature", "\u202eabc", "\U0001f600\U0010ffff x", "\U0001fffe x y z", "\ud7ff\ue000",
    "&amp; &lt;b&gt; <b>bold text in html</b>", "\x7f del", "\x80 c1 control, English words here", "hello\u00a0world",
    "hello\u3000world", "a\u200bb", "\0\0", "a\n", "\na", "a\nb c\nd", " leading", "trailing ", "tab\tsep\tvals",
]

PIECES = ["the", "cat", "Haus", "chien", "собака", "猫", "犬が", "🙂", "\n", "\t", "\0", "</s>", "__label__en", "  ", "\u200d", "ö",
          "\x01", "1", "%", "\r", "\ufffd", "\U0010fffd", "\ufdd0", "हिन्दी", "한국어", "ไทย", " ", " ", " "]


def captions(seed=7):
    rng = random.Random(seed)
    whole = [text for texts in SENTENCES.values() for text in texts]
    fuzz = ["".join(rng.choice(PIECES) for _ in range(rng.randint(1, 25))) for _ in range(300)]

    def any_code_point():
        while True:
            code = rng.choice([rng.randint(0, 0x7F), rng.randint(0, 0x7FF), rng.randint(0, 0xFFFF), rng.randint(0, 0x10FFFF)])
            if not 0xD800 <= code < 0xE000:
                return chr(code)

    fuzz += ["".join(any_code_point() for _ in range(rng.randint(1, 30))) for _ in range(300)]
    mixed = []
    for _ in range(300):
        a, b = rng.choice(whole), rng.choice(whole)
        mixed.append(rng.choice([a[: rng.randint(1, len(a))], a + " " + b, a + "\n" + b, a.upper(), a + "\0" + b]))
    return whole + ODD + fuzz + mixed


def answers(texts, model, cld3):
    rows = []
    for text in texts:
        line = text.replace("\n", " ")
        # The line that FastText.py's predict makes; its own wrapper fails with NumPy 2.
        found = model.f.predict(line + "\n", 1, 0.0, "strict")
        probability, label = found[0] if found else (0.0, "__label__und")
        row = {"text": text, "fasttext": [label.replace("__label__", ""), probability]}
        if cld3 is not None:
            result = cld3.FindLanguage(text=line)
            row["cld3"] = [result.language, result.probability]
        rows.append(row)
    return rows


def write(path, rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


TRAIN = """
import sys, fasttext
fasttext.train_supervised(sys.argv[1], dim=8, minn=2, maxn=4, bucket=2000, epoch=60, lr=0.5, loss="hs", thread=1, seed=1, verbose=0).save_model(sys.argv[2])
"""


def small_model(path):
    """A model without compression, in a few kB; words, subwords and labels as in lid.176.bin."""
    rng = random.Random(1)
    lines = [f"__label__{lang} {text}" for lang, texts in SENTENCES.items() for text in texts for _ in range(5)]
    rng.shuffle(lines)
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder, "corpus.txt")
        corpus.write_text("\n".join(lines) + "\n")
        # In a process of its own: after other models, fastText 0.9.3 can meet NaN here.
        subprocess.run([sys.executable, "-c", TRAIN, str(corpus), str(path)], check=True)
    return fasttext.load_model(str(path))


def odd_parquets(folder):
    """Types that DataComp does not have and others do: adding columns must keep every one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    n = 60
    rng = np.random.default_rng(0)
    some = lambda values: [None if i % 7 == 3 else value for i, value in enumerate(values)]
    table = pa.table({
        "uid": [f"{i:032x}" for i in range(n)],
        "text": some(([text for texts in SENTENCES.values() for text in texts] * 2)[:n]),
        "f32": pa.array(rng.random(n), pa.float32()),
        "f64": rng.random(n),
        "f16": pa.array(rng.random(n).astype(np.float16)),
        "i8": pa.array(rng.integers(-128, 127, n), pa.int8()),
        "u16": pa.array(rng.integers(0, 65535, n), pa.uint16()),
        "u64": pa.array(rng.integers(0, 2**63, n), pa.uint64()),
        "i32": pa.array(some(rng.integers(0, 9, n).tolist()), pa.int32()),
        "flag": pa.array(some([bool(i % 2) for i in range(n)])),
        "face_bboxes": [None if i % 5 == 0 else [] if i % 5 == 1 else [[0.1, 0.2, 0.3, i / 7]] * (i % 3) for i in range(n)],
        "kind": pa.array(["abc"[i % 3] for i in range(n)]).dictionary_encode(),
        "when": pa.array([1_600_000_000_000_000 + i for i in range(n)], pa.timestamp("us", "UTC")),
        "bytes": pa.array([i.to_bytes(4, "big") for i in range(n)], pa.binary(4)),
        "struct": [{"a": i, "b": {"c": [str(i)]}} for i in range(n)],
        "map": pa.array([[("k", i)] for i in range(n)], pa.map_(pa.string(), pa.int64())),
    })
    pq.write_table(table, folder / "a.parquet", compression="snappy", row_group_size=25)
    pq.write_table(table, folder / "b.parquet", compression="zstd", row_group_size=17, write_page_index=True, data_page_version="2.0")
    pq.write_table(table.drop_columns(["f16", "map"]), folder / "c.parquet", compression="none", use_dictionary=False, version="1.0", store_schema=False)
    pq.write_table(table.slice(0, 0), folder / "d.parquet")
    np.savez(folder / "a.npz", b32_img=np.eye(n, 4, dtype=np.float16), b32_txt=np.ones((n, 4), np.float16))


def main():
    if hashlib.sha256(LID.read_bytes()).hexdigest() != LID_SHA256:
        sys.exit(f"{LID} is another model")
    lid = fasttext.load_model(str(LID))
    cld3 = gcld3.NNetLanguageIdentifier(0, 1000)
    if sys.argv[1:2] == ["--captions"]:
        texts = json.loads(pathlib.Path(sys.argv[2]).read_text())
        write(pathlib.Path(sys.argv[3]), answers(texts, lid, cld3))
        return
    texts = captions()
    write(FIXTURES / "language" / "captions.jsonl.gz", answers(texts, lid, cld3))
    model = small_model(FIXTURES / "language" / "small.bin")
    write(FIXTURES / "language" / "small.jsonl.gz", answers(texts[:200], model, None))
    odd_parquets(FIXTURES / "annotate" / "foreign")


main()
