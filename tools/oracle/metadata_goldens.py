"""Goldens for test/metadata and test/subset from NumPy, pandas and pyarrow.

    python tools/oracle/metadata_goldens.py

Writes test/fixtures/metadata and test/fixtures/subset/headers.json. Seeded; versions in requirements.txt.
"""
import hashlib
import io
import json
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).resolve().parents[2] / "test" / "fixtures"
METADATA = ROOT / "metadata"
SUBSET = ROOT / "subset"
U16 = np.dtype("u8,u8")


def float16():
    """All of float16's corners: a sweep of float32's bits, and both sides of every rounding boundary."""
    sweep = np.arange(0, 2**32, 4099, dtype=np.uint64).astype(np.uint32)
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    # The boundary above a half is half of its last bit away: 2^12 in float32's bits for normal halves.
    near = (halves.astype(np.int64)[:, None] + np.array([-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097])).ravel()
    near = (near % 2**32).astype(np.uint32)
    # Subnormal halves have boundaries at odd multiples of 2^-25.
    tiny = (np.arange(0, 2050, dtype=np.float64) * 2.0**-25).astype(np.float32).view(np.uint32)
    tiny = (tiny.astype(np.int64)[:, None] + np.array([-1, 0, 1])).ravel() % 2**32
    tiny = np.concatenate([tiny, tiny | 2**31]).astype(np.uint32)
    named = np.array([0, 2**31, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x477FEFFF, 0x477FF000,
                      0x477FFFFF, 0x47800000, 0x33000000, 0x33000001, 0x387FFFFF, 0x3F800000], dtype=np.uint32)
    with np.errstate(all="ignore"):
        digests = {
            name: hashlib.sha256(bits.view(np.float32).astype(np.float16).tobytes()).hexdigest()
            for name, bits in {"sweep": sweep, "near": near, "tiny": tiny}.items()
        }
        cases = [[int(b), int(h)] for b, h in zip(named, named.view(np.float32).astype(np.float16).view(np.uint16))]
    back = hashlib.sha256(np.nan_to_num(halves.view(np.float32), nan=1e9, posinf=2e9, neginf=-2e9).tobytes()).hexdigest()
    return {"sha256": digests, "cases": cases, "back": back}


def headers():
    """The first bytes of `np.save`, in hex, by dtype and shape."""
    cases = []
    for dtype, shape in [("<f2", (0, 512)), ("<f2", (3, 4)), ("<f2", (10000, 768)), ("<f4", (5,)), ("u8,u8", (0,)),
                         ("u8,u8", (1,)), ("u8,u8", (9999,)), ("u8,u8", (12345678,))]:
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            out, {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape})
        cases.append({"dtype": dtype, "shape": list(shape), "hex": out.getvalue().hex()})
    return cases


def subsets(rng):
    raw = rng.integers(0, 2**64, (40, 2), dtype=np.uint64)
    uids = np.array([tuple(row) for row in raw], U16)
    multiset = np.concatenate([uids, uids[:3], uids[:1]])
    multiset.sort()
    np.save(SUBSET / "multiset.npy", multiset)
    np.save(SUBSET / "unsorted.npy", uids)
    (SUBSET / "raw.bin").write_bytes(uids.tobytes())
    np.save(SUBSET / "distinct.npy", np.unique(multiset))
    np.save(SUBSET / "wrong.npy", raw)


def frame(rng, n, dtype):
    raw = [rng.bytes(16).hex() for _ in range(n)]
    # Scores on a coarse grid of float32, so that there are ties, and the thresholds that flip in double.
    score = (rng.integers(18, 36, n) / 100).astype(np.float32)
    score[:5] = np.float32([0.24, 0.26, 0.29, 0.32, 0.7])
    return pd.DataFrame({
        "uid": raw,
        "url": [f"http://example.com/{i}" if i % 4 else None for i in range(n)],
        "text": [f"caption {i}" for i in range(n)],
        "original_width": rng.integers(10, 900, n),
        "original_height": rng.integers(10, 900, n),
        "clip_b32_similarity_score": score.astype(dtype),
        "clip_l14_similarity_score": np.float32(rng.normal(0.2, 0.06, n)),
        "face_bboxes": [[[0.1, 0.2, 0.3, 0.4]] * (i % 3) for i in range(n)],
        "sha256": [hashlib.sha256(str(i).encode()).hexdigest() for i in range(n)],
    })


def parquets(rng):
    """A foreign pool of two files, and one file each of what other writers do."""
    pool = METADATA / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    a = frame(rng, 150, np.float32)
    b = frame(rng, 60, np.float32)
    b.loc[:2, "uid"] = a["uid"][:3].values  # repeats across files
    a.to_parquet(pool / "00000000.parquet", index=False)
    b.to_parquet(pool / "00000001.parquet", index=False, compression="zstd")

    # float32 with holes beside float64: DataComp takes one threshold and compares each file in its own type.
    mixed = METADATA / "mixed"
    mixed.mkdir(exist_ok=True)
    c = frame(rng, 40, np.float32)
    c.loc[6:9, "clip_b32_similarity_score"] = np.nan
    c.to_parquet(mixed / "a.parquet", index=False)
    frame(rng, 40, np.float64).to_parquet(mixed / "b.parquet", index=False)

    odd = METADATA / "odd"
    odd.mkdir(exist_ok=True)
    small = frame(rng, 12, np.float32)[["uid", "text", "clip_b32_similarity_score"]]
    for codec in ["none", "gzip", "zstd", "snappy"]:
        small.to_parquet(odd / f"{codec}.parquet", index=False, compression=None if codec == "none" else codec)
    small.to_parquet(odd / "groups.parquet", index=False, row_group_size=5)
    small.to_parquet(odd / "pages-v2.parquet", index=False, data_page_version="2.0")
    small.to_parquet(odd / "brotli.parquet", index=False, compression="brotli")
    table = pa.Table.from_pandas(small, preserve_index=False)
    as_bytes = table.set_column(0, "uid", pa.array([u.encode() for u in small["uid"]], pa.binary()))
    pq.write_table(as_bytes, odd / "uid-bytes.parquet")
    raw = table.set_column(0, "uid", pa.array([bytes.fromhex(u) for u in small["uid"]], pa.binary(16)))
    pq.write_table(raw, odd / "uid-raw.parquet")
    large = table.set_column(0, "uid", pa.array(small["uid"], pa.large_string()).dictionary_encode())
    pq.write_table(large, odd / "uid-dictionary.parquet")
    double = small.assign(clip_b32_similarity_score=small["clip_b32_similarity_score"].astype(np.float64))
    double.to_parquet(odd / "double.parquet", index=False)
    holes = pa.array([None, float("nan")] + list(small["clip_b32_similarity_score"][2:]), pa.float32())
    pq.write_table(table.set_column(2, "clip_b32_similarity_score", holes), odd / "holes.parquet")
    bad = small.copy()
    bad.loc[7, "uid"] = "not-a-uid"
    bad.to_parquet(odd / "bad-uid.parquet", index=False)
    half = table.set_column(2, "clip_b32_similarity_score", pa.array(range(12), pa.int64()))
    pq.write_table(half, odd / "int-score.parquet")
    (METADATA / "odd.json").write_text(json.dumps({
        "uid": list(small["uid"]),
        "score": [float(s) for s in small["clip_b32_similarity_score"]],
    }, indent=1) + "\n")


def paged(rng):
    """The same 400 rows in many small pages: a dictionary that overflows, so that its pages are followed by plain ones."""
    folder = METADATA / "paged"
    folder.mkdir(exist_ok=True)
    n = 400
    table = frame(rng, n, np.float64)
    table["text"] = [None if i % 7 == 3 else f"caption {i % 90}" + " ñandú 猫" * (i % 5 == 0) for i in range(n)]
    table["lang"] = [["en", "de", None][i % 3] for i in range(n)]
    table["flag"] = pd.array([None if i % 11 == 0 else i % 2 == 0 for i in range(n)], "boolean")
    table["count"] = pd.array([None if i % 13 == 5 else int(c) for i, c in enumerate(rng.integers(-2**60, 2**60, n))], "Int64")
    table["narrow"] = pd.array(rng.integers(-2**31, 2**31, n), "Int32")
    table["clip_l14_similarity_score"] = table["clip_l14_similarity_score"].where(np.arange(n) % 9 != 4)
    columns = ["uid", "text", "lang", "flag", "count", "narrow", "clip_b32_similarity_score", "clip_l14_similarity_score"]
    table = pa.Table.from_pandas(table[columns], preserve_index=False)
    small = {"data_page_size": 700, "dictionary_pagesize_limit": 1500, "write_batch_size": 16, "row_group_size": 250}
    for version in ["1.0", "2.0"]:
        for codec in ["none", "snappy", "zstd", "gzip"]:
            pq.write_table(table, folder / f"v{version[0]}-{codec}.parquet", compression=codec, data_page_version=version,
                           write_statistics=False, **small)
    # Encodings that are read by the neutral reader only.
    delta = {"uid": "DELTA_BYTE_ARRAY", "text": "DELTA_LENGTH_BYTE_ARRAY", "count": "DELTA_BINARY_PACKED",
             "clip_b32_similarity_score": "BYTE_STREAM_SPLIT"}
    pq.write_table(table, folder / "encodings.parquet", use_dictionary=False, column_encoding=delta,
                   write_statistics=False, **small)


def npzs(rng):
    values = rng.normal(size=(3, 5))
    arrays = {"f2": values.astype(np.float16), "f4": values.astype(np.float32), "f8": values}
    np.savez(METADATA / "stored.npz", **arrays)
    np.savez_compressed(METADATA / "deflated.npz", **arrays, fortran=np.asfortranarray(values), flat=values.ravel())
    (METADATA / "npz.json").write_text(
        json.dumps({k: v.astype(np.float32).ravel().tolist() for k, v in arrays.items()}, indent=1) + "\n")


def main():
    METADATA.mkdir(parents=True, exist_ok=True)
    SUBSET.mkdir(parents=True, exist_ok=True)
    (METADATA / "float16.json").write_text(json.dumps(float16(), indent=1) + "\n")
    (SUBSET / "headers.json").write_text(json.dumps(headers(), indent=1) + "\n")
    subsets(np.random.default_rng(20240501))
    parquets(np.random.default_rng(20240502))
    npzs(np.random.default_rng(20240503))
    paged(np.random.default_rng(20240504))


if __name__ == "__main__":
    main()
