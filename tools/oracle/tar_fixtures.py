"""Odd tars and what Python's tarfile and webdataset read in them.

    python tools/oracle/tar_fixtures.py

writes test/fixtures/tar/*.tar and, beside them, expected.json: for every tar its members as tarfile's stream mode
(`r|*`, what webdataset uses) lists them, with the SHA-256 of their data, and the samples that webdataset's
group_by_keys makes of them. Seeded; two runs give the same bytes. Needs webdataset==1.0.2 and Python 3.11.
"""

import hashlib
import io
import json
import random
import re
import tarfile
from pathlib import Path

from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_expander

HERE = Path(__file__).resolve().parents[2] / "test" / "fixtures"
OUT = HERE / "tar"
BLOCK = 512
RNG = random.Random(20240501)


def pad(data):
    return data + b"\0" * (-len(data) % BLOCK)


def header(name, size, kind=b"0", magic=b"ustar\x0000", prefix=b"", link=b"", mtime=b"00000000000\0", size_field=None,
           signed=False, extra=None):
    """One header block, every byte in our hands."""
    raw = bytearray(BLOCK)
    raw[0 : len(name)] = name
    raw[100:108] = b"0000644\0"
    raw[108:116] = raw[116:124] = b"0000000\0"
    raw[124:136] = size_field if size_field is not None else b"%011o\0" % size
    raw[136:148] = mtime
    raw[148:156] = b" " * 8
    raw[156:157] = kind
    raw[157 : 157 + len(link)] = link
    raw[257 : 257 + len(magic)] = magic
    raw[345 : 345 + len(prefix)] = prefix
    for at, value in (extra or {}).items():
        raw[at : at + len(value)] = value
    total = sum(b - 256 if signed and b > 127 else b for b in raw)
    raw[148:156] = b"%06o\0 " % total
    return bytes(raw)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(records, kind=b"x"):
    data = b"".join(record(k, v) for k, v in records)
    return header(b"././@PaxHeader", len(data), kind) + pad(data)


def member(name, data, **kw):
    return header(name, len(data), **kw) + pad(data)


END = b"\0" * (2 * BLOCK)


def built(fmt, names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=fmt, encoding="utf-8", errors="surrogateescape") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            data = RNG.randbytes(RNG.choice([0, 1, 3, 511, 512, 513, 700]))
            info.size, info.mtime = len(data), 1700000000 + len(names)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


LONG = "deep/" * 30 + "0007.jpg"
NAMES = [
    "0001.jpg", "0001.txt", "0001.json", "dir.v1/0002.seg.png", "dir.v1/0002.jpg", "d/.hidden.jpg", "dir/.jpg",
    "foo.", ".hidden", "noext", "0003.JPG", "0003.Txt", "a b/ü 写真.jpg", "a b/ü 写真.txt", LONG, LONG[:-3] + "txt",
    "n" * 99 + ".jpg", "n" * 99 + ".txt", "p" * 154 + "/" + "q" * 95 + ".png", "x" * 300 + ".webp", "./0009.jpg",
]


def tars():
    yield "ustar", built(tarfile.USTAR_FORMAT, [n for n in NAMES if len(n) < 100 or "/" in n])
    yield "gnu", built(tarfile.GNU_FORMAT, NAMES + ["bad\udcff\udce9.jpg", "l" * 200 + "\udc80.txt"])
    yield "pax", built(tarfile.PAX_FORMAT, NAMES + ["bad\udcff\udce9.jpg", "l" * 200 + "é.txt"])
    v7 = dict(kind=b"\0", magic=b"")
    yield "v7", (member(b"old/", b"", **v7) + member(b"old/1.jpg", b"jay", **v7) + member(b"old/1.txt", b"tea", **v7)
                 + member("old/\u00fc.jpg".encode("latin-1"), b"latin", signed=True, **v7)
                 + member(b"2.jpg", b"x", kind=b"\0", magic=b"", signed=True) + END)
    kinds = io.BytesIO()
    with tarfile.open(fileobj=kinds, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for kind, name in [(tarfile.REGTYPE, "1.jpg"), (tarfile.DIRTYPE, "between.d"), (tarfile.SYMTYPE, "1.lnk"),
                           (tarfile.LNKTYPE, "1.hard"), (tarfile.FIFOTYPE, "1.fifo"), (tarfile.CHRTYPE, "1.chr"),
                           (tarfile.BLKTYPE, "1.blk"), (tarfile.CONTTYPE, "1.txt"), (b"Z", "1.odd"),
                           (tarfile.REGTYPE, "1.json"), (tarfile.SYMTYPE, "s" * 150 + ".jpg"), (tarfile.REGTYPE, "2.jpg")]:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "1.jpg" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            data = b"data of " + name[:9].encode() if kind in (b"0", b"7", b"Z") else b""
            if name.startswith("s"):
                info.linkname = "t" * 200
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    yield "kinds", kinds.getvalue()
    # Links and directories whose header names a size have no data all the same.
    yield "sized_link", (header(b"1.lnk", 700, b"1", link=b"1.jpg") + header(b"folder", 512, b"5")
                         + member(b"1.jpg", b"after") + END)
    yield "repeated", b"".join(member(n, n) for n in [b"a.jpg", b"a.txt", b"a.jpg", b"b.jpg", b"b.txt"]) + END
    yield "nonadjacent", b"".join(member(n, n) for n in [b"a.jpg", b"b.jpg", b"a.txt", b"c.jpg"]) + END
    yield "meta", b"".join(member(n, n) for n in [b"__meta__", b"__x__/a.jpg", b"__a__.jpg", b"_a__/b.jpg", b"__c/d.jpg",
                                                   b"____/e.jpg", b"___/f.jpg", b"f/__g__/h.jpg", b"__h__/"]) + END
    yield "unsafe", b"".join(member(n, n) for n in [b"../up.jpg", b"/abs.jpg", b"a\\b.jpg", b"c/../../d.jpg", b"C:e.jpg"]) + END
    yield "pax_odd", (
        pax([(b"comment", b"one=two=three"), (b"mtime", b"1234.5")], b"g")
        + pax([(b"path", b"eq=1/a=b.jpg"), (b"VENDOR.x", b"=\n=\n12 x=y")]) + member(b"short", b"eq")
        + pax([(b"size", b"6"), (b"path", b"sized.jpg")]) + header(b"short", 0) + pad(b"abcdef")
        + pax([(b"hdrcharset", b"BINARY"), (b"path", b"bin\xff\xfe.jpg")]) + member(b"short", b"binary")
        + pax([(b"path", b"raw\xe9.jpg")]) + member(b"short", b"raw")
        + pax([(b"path", b"slash.jpg///"), (b"mtime", b"99.25")]) + member(b"short", b"slash")
        + pax([(b"path", b"solaris.jpg")], b"X") + member(b"short", b"solaris")
        + pax([(b"path", b"outer.jpg")]) + header(b"././@LongLink", 10, b"L") + pad(b"inner.jpg\0") + member(b"s", b"outer wins")
        + header(b"././@LongLink", 10, b"L") + pad(b"first.jpg\0") + pax([(b"path", b"second.jpg")]) + member(b"s", b"L wins")
        + pax([(b"linkpath", b"else=where")]) + header(b"l.jpg", 0, b"2")
        + pax([]) + member(b"empty_pax.jpg", b"e") + END)
    neg = b"\xff" * 11 + b"\xf6"
    yield "base256", (member(b"a.jpg", b"base", size_field=b"\x80" + b"\0" * 10 + b"\x04")
                      + member(b"b.jpg", b"negative time", mtime=neg) + END)
    yield "octal", b"".join(
        member(n, b"12345678", size_field=f) for n, f in [
            (b"a.jpg", b"        10 \0"), (b"b.jpg", b"10\0\0\0\0\0\0\0\0\0\0"), (b"c.jpg", b"000000000010"),
            (b"d.jpg", b"10          "), (b"e.jpg", b"00000000010 ")]) + member(b"f.jpg", b"", size_field=b"\0" * 12) + END
    yield "no_end", member(b"a.jpg", b"a") + member(b"a.txt", b"t")
    yield "one_zero_block", member(b"a.jpg", b"a") + member(b"a.txt", b"t") + b"\0" * BLOCK
    yield "garbage_after_end", member(b"a.jpg", b"a") + END + b"garbage" * 300
    yield "second_tar_after_end", member(b"a.jpg", b"a") + END + member(b"b.jpg", b"b") + END
    yield "all_zero", b"\0" * 10240
    # What these three hold is read otherwise here: see the tests.
    yield "lone_zero_block", member(b"a.jpg", b"a") + b"\0" * BLOCK + member(b"b.jpg", b"b") + END
    sparse_map = {386: b"%011o\0%011o\0" % (0, 4), 482: b"\1", 483: b"%011o\0" % 5000}
    more = bytearray(BLOCK)
    more[0:24] = b"%011o\0%011o\0" % (4096, 4)
    yield "sparse_gnu", (header(b"1.jpg", 8, b"S", magic=b"ustar  \0", extra=sparse_map) + bytes(more) + pad(b"headtail")
                         + member(b"1.txt", b"caption") + member(b"2.jpg", b"next") + END)
    sparse_data = pad(b"1\n0\n4\n") + b"head"
    yield "sparse_pax", (
        pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"1.jpg"),
             (b"GNU.sparse.realsize", b"5000")])
        + member(b"GNUSparseFile.0/1.jpg", sparse_data) + member(b"1.txt", b"caption") + END)
    # GNU tar --incremental keeps times where POSIX has the prefix.
    yield "gnu_times", header(b"1.jpg", 3, magic=b"ustar  \0", prefix=b"14371500000\x0014371500001\0") + pad(b"one") + END


def listing(data):
    members, problem = [], None
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|*", encoding="utf-8") as tar:
            for info in tar:
                body = tar.extractfile(info).read() if info.isreg() else b""
                members.append(dict(name=info.name, type=info.type.decode("latin-1"), size=info.size, offset=info.offset,
                                    dataOffset=info.offset_data, mtime=info.mtime, linkname=info.linkname,
                                    sha256=hashlib.sha256(body).hexdigest()))
    except tarfile.TarError as error:
        problem = str(error)
    return dict(members=members, problem=problem)


def grouping(data):
    """webdataset's own two steps, and how many errors its handler was given."""
    errors = []

    def handler(error):
        errors.append(str(error.args[0]))
        return True

    files = tar_file_expander([dict(url="t", stream=io.BytesIO(data))], handler=handler)
    samples = [
        dict(key=s["__key__"], members={e: hashlib.sha256(v).hexdigest() for e, v in s.items() if not e.startswith("__")})
        for s in group_by_keys(files, handler=handler)
    ]
    return dict(samples=samples, errors=len(errors))


def names():
    """webdataset's key rule on seeded odd names."""
    skip = re.compile(r"__[^/]*__($|/)")
    alphabet = ["a", "B", ".", ".", "/", "/", "_", "__", "\n", "ü", " ", "\\", "\r", "\u2028"]
    fixed = NAMES + ["", ".", "..", "/", "a/", "a./b", "a.b/c", "a.b/.c", "a/.c", "a//.c", "/.c", "a\n/b.c", "a.\n/b.c",
                     "x\ny.z/a.jpg", "x.y\nz/a.jpg", "x\n.y/a/.jpg", "__a__", "__a__\n", "__a__\n.b", "__.__", "__a/b__.c"]
    odd = ["".join(RNG.choice(alphabet) for _ in range(RNG.randrange(1, 12))) for _ in range(700)]
    for name in dict.fromkeys(fixed + odd):
        key, ext = base_plus_ext(name)
        yield [name, bool(skip.match(name)), key, None if ext is None else ext.lower()]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data in tars():
        (OUT / f"{name}.tar").write_bytes(data)
        expected[name] = listing(data) | grouping(data)
    written = OUT / "written.tar"
    if written.exists():
        expected["written"] = listing(written.read_bytes()) | grouping(written.read_bytes())
    # Where tarfile still reads whole members when the file is cut.
    whole = (OUT / "kinds.tar").read_bytes()
    expected["kinds"]["cuts"] = [[cut, len(listing(whole[:cut])["members"])] for cut in range(0, 8 * 1024, 128)]
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    rows = ",\n".join(json.dumps(row) for row in names())
    (HERE / "webdataset").mkdir(exist_ok=True)
    (HERE / "webdataset" / "names.json").write_text(f"[\n{rows}\n]\n")


main()
