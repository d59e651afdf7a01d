"""Goldens of the image room: small odd pictures, and what Pillow and open_clip make of them.

    python tools/oracle/image_fixtures.py test/fixtures/image

Writes `pictures/*` (seeded; encoded by the pinned Pillow), `decode.json` (RGB hashes, refusals, cut points,
the `visual` reading) and `preprocess.json` (hashes of the float32 input). Versions: requirements.txt beside
this file.
"""

import hashlib
import io
import json
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
import torchvision
from open_clip.transform import image_transform
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
OUT = sys.argv[1]
PICTURES = os.path.join(OUT, "pictures")
os.makedirs(PICTURES, exist_ok=True)
rng = np.random.default_rng(20240613)
made = {}


def smooth(w, h, noise=10.0):
    x = np.linspace(0, 1, w)[None, :, None]
    y = np.linspace(0, 1, h)[:, None, None]
    waves = 127 + 100 * np.sin(6 * x * (1 + np.arange(3)) + 4 * y)
    return (waves + rng.normal(0, noise, (h, w, 3))).clip(0, 255).astype(np.uint8)


def picture(w, h, mode="RGB"):
    im = Image.fromarray(smooth(w, h))
    if mode in ("RGBA", "LA"):
        alpha = Image.fromarray((np.linspace(0, 255, w)[None, :] * np.ones((h, 1))).astype(np.uint8))
        im = im.convert("L") if mode == "LA" else im
        im.putalpha(alpha)
        return im
    if mode == "I;16":
        return Image.fromarray((rng.integers(0, 600, (h, w)) * 1).astype(np.uint16))
    return im.convert(mode)


def encode(im, fmt, **options):
    out = io.BytesIO()
    im.save(out, fmt, **options)
    return out.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(w, h, depth, kind, interlace=0, extra=(), filters=True, rows=None):
    """A PNG by hand: any depth, kind and interlacing, all five filters in turn (as stored bytes)."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    n = 0
    for x0, y0, dx, dy in passes:
        pw, ph = -(-(w - x0) // dx) if w > x0 else 0, -(-(h - y0) // dy) if h > y0 else 0
        if pw == 0 or ph == 0:
            continue
        length = (pw * channels * depth + 7) // 8
        for _ in range(ph):
            if rows is not None and n == rows:
                break
            raw += bytes([n % 5 if filters else 0]) + rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            n += 1
    head = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlace)
    body = b"".join(chunk(*c) for c in extra)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def gif(canvas, frame, palette, bits=2, interlace=False, local=None, transparent=None):
    """A GIF by hand with one frame anywhere on the canvas; codes are not compressed beyond their width."""
    (cw, ch), (x, y, w, h) = canvas, frame
    out = b"GIF89a" + struct.pack("<HHBBB", cw, ch, 0x80 | (bits - 1), 1, 0) + palette
    if transparent is not None:
        out += b"!\xf9\x04\x01\x00\x00" + bytes([transparent]) + b"\x00"
    flags = (0x40 if interlace else 0) | ((0x80 | (bits - 1)) if local else 0)
    out += b"," + struct.pack("<HHHHB", x, y, w, h, flags) + (local or b"") + bytes([bits])
    codes = []
    for i, value in enumerate(rng.integers(0, 1 << bits, w * h)):
        if i % ((1 << bits) - 2) == 0:
            codes.append(1 << bits)
        codes.append(int(value))
    codes.append((1 << bits) + 1)
    acc = sum(code << (i * (bits + 1)) for i, code in enumerate(codes))
    data = acc.to_bytes((len(codes) * (bits + 1) + 7) // 8, "little")
    for i in range(0, len(data), 255):
        out += bytes([len(data[i : i + 255])]) + data[i : i + 255]
    return out + b"\x00;"


def add(name, data):
    made[name] = data


SIZES = {"": (37, 29), "-1x1": (1, 1), "-tall": (3, 120), "-wide": (150, 2), "-64": (64, 64)}
for tag, (w, h) in SIZES.items():
    add(f"rgb{tag}.jpg", encode(picture(w, h), "JPEG", quality=85))
    add(f"grey{tag}.jpg", encode(picture(w, h, "L"), "JPEG"))
    add(f"cmyk{tag}.jpg", encode(picture(w, h, "CMYK"), "JPEG"))
    add(f"rgb{tag}.png", encode(picture(w, h), "PNG"))
    add(f"lossy{tag}.webp", encode(picture(w, h), "WEBP"))
    add(f"lossless-alpha{tag}.webp", encode(picture(w, h, "RGBA"), "WEBP", lossless=True))
    add(f"palette{tag}.gif", encode(picture(w, h, "P"), "GIF"))
# JPEG kinds
add("progressive.jpg", encode(picture(50, 41), "JPEG", progressive=True))
add("progressive-cmyk.jpg", encode(picture(20, 41, "CMYK"), "JPEG", progressive=True))
for name, sub in (("444", 0), ("422", 1), ("420", 2)):
    add(f"sub-{name}.jpg", encode(picture(45, 33), "JPEG", subsampling=sub))
add("restarts.jpg", encode(picture(80, 40), "JPEG", restart_marker_blocks=3))
add("keep-rgb.jpg", encode(picture(45, 33), "JPEG", keep_rgb=True))
wide_gamut = bytes(128) + b"not a profile"
add("icc.jpg", encode(picture(40, 30), "JPEG", icc_profile=wide_gamut))
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    add(f"exif-{orientation}.jpg", encode(picture(24, 16), "JPEG", exif=exif))
base = bytearray(made["cmyk.jpg"])
at = base.index(b"Adobe")
base[at + 11] = 2
add("ycck.jpg", bytes(base))
base = bytearray(made["rgb.jpg"])
sof = base.index(b"\xff\xc0")
base[sof + 4] = 12
add("twelve-bits.jpg", bytes(base))
add("second-picture.jpg", made["rgb.jpg"][:-2] + made["grey.jpg"])
add("appended.jpg", made["rgb.jpg"] + rng.integers(0, 256, 300, dtype=np.uint8).tobytes())
add("no-end-marker.jpg", made["rgb.jpg"][:-2])
add("early-end-marker.jpg", made["rgb-64.jpg"][:-400] + b"\xff\xd9")
add("name-lies.png", made["rgb.jpg"])
# PNG kinds
for kind, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
    for depth in depths:
        extra = [(b"PLTE", rng.integers(0, 256, 3 * (1 << depth), dtype=np.uint8).tobytes())] if kind == 3 else []
        for interlace in (0, 1):
            add(f"png-{kind}-{depth}{'i' if interlace else ''}.png", png(19, 13, depth, kind, interlace, extra))
add("png-short-palette.png", png(16, 9, 8, 3, 0, [(b"PLTE", bytes(range(60)))]))
add("png-no-palette.png", png(9, 9, 4, 3))
add("png-trns-grey.png", png(9, 9, 8, 0, 0, [(b"tRNS", b"\x00\x07")]))
add("png-trns-rgb.png", png(9, 9, 8, 2, 0, [(b"tRNS", bytes(6))]))
add("png-trns-palette.png", png(9, 9, 2, 3, 0, [(b"PLTE", bytes(range(12))), (b"tRNS", b"\x00\x80\xff")]))
add("png-fewer-rows.png", png(9, 9, 8, 2, rows=4))
add("png-bad-depth.png", png(9, 9, 4, 2))
add("png-broken-crc.png", made["rgb.png"][:29] + b"\0\0\0\0" + made["rgb.png"][33:])
whole = made["rgb-64.png"]
add("png-broken-adler.png", whole[:-20] + bytes([whole[-20] ^ 255]) + whole[-19:])
add("png-idat-crc.png", whole[:-13] + bytes([whole[-13] ^ 255]) + whole[-12:])
add("png-text-bomb.png", png(3, 3, 8, 0, 0, [(b"zTXt", b"k\0\0" + zlib.compress(bytes(2 << 20)))]))
add("apng.png", encode(picture(30, 20), "PNG", save_all=True, append_images=[picture(30, 20)], default_image=False))
add("apng-default.png", encode(picture(30, 20), "PNG", save_all=True, append_images=[picture(30, 20)], default_image=True))
exif = Image.Exif()
exif[0x0112] = 6
add("png-exif.png", encode(picture(24, 16, "RGBA"), "PNG", exif=exif))
# GIF kinds
four = rng.integers(0, 256, 12, dtype=np.uint8).tobytes()
other = rng.integers(0, 256, 12, dtype=np.uint8).tobytes()
grey4 = bytes(v for i in range(4) for v in (i, i, i))
add("gif-partial.gif", gif((20, 16), (5, 4, 9, 7), four))
add("gif-partial-transparent.gif", gif((20, 16), (5, 4, 9, 7), four, transparent=2))
add("gif-outside.gif", gif((8, 8), (5, 4, 9, 7), four))
add("gif-interlaced.gif", gif((13, 21), (0, 0, 13, 21), four, interlace=True))
add("gif-local.gif", gif((12, 9), (0, 0, 12, 9), four, local=other))
add("gif-local-grey.gif", gif((12, 9), (0, 0, 12, 9), four, local=grey4))
add("gif-grey.gif", gif((12, 9), (0, 0, 12, 9), grey4))
add("gif-animated.gif", encode(picture(30, 20, "P"), "GIF", save_all=True, append_images=[picture(30, 20, "P")]))
add("gif-empty-frame.gif", gif((12, 9), (0, 0, 0, 9), four))
# WebP kinds
add("lossy-alpha.webp", encode(picture(33, 21, "RGBA"), "WEBP"))
frames = [picture(33, 21, "RGBA"), picture(33, 21, "RGBA")]
add("animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
add("animated-lossless.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
partial = bytearray(made["animated.webp"])
first = partial.index(b"ANMF")
partial[24:30] = (59).to_bytes(3, "little") + (49).to_bytes(3, "little")
partial[first + 8 : first + 14] = (5).to_bytes(3, "little") + (7).to_bytes(3, "little")
add("animated-partial.webp", bytes(partial))
add("webp-appended.webp", made["lossy.webp"] + b"garbage after the end")
add("webp-icc.webp", encode(picture(33, 21), "WEBP", icc_profile=wide_gamut))
# Nothing at all
add("empty.jpg", b"")
add("text.jpg", b"<html>not a picture</html>")

# Made before, kept under the names of what they show; small ones carry the cut points.
CUTS = ["rgb.jpg", "progressive.jpg", "grey.jpg", "rgb.png", "png-3-8i.png", "apng.png", "palette.gif", "gif-animated.gif",
        "lossy.webp", "lossless-alpha.webp", "animated.webp"]


def verdict(data, visual=False):
    try:
        im = Image.open(io.BytesIO(data))
        im.load()
        if visual:
            im = ImageOps.exif_transpose(im)
            white = Image.new("RGB", im.size, (255, 255, 255))
            if im.has_transparency_data:
                rgba = im.convert("RGBA")
                white.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
                im = white
        rgb = im.convert("RGB")
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"[:80].split(" object at")[0]}
    return {"width": rgb.width, "height": rgb.height, "sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}


rows = []
for name, data in sorted(made.items()):
    with open(os.path.join(PICTURES, name), "wb") as file:
        file.write(data)
    row = {"file": name, **verdict(data)}
    seen = verdict(data, visual=True)
    if "sha256" in row and seen != {k: row[k] for k in seen}:
        row["visual"] = seen
    if name in CUTS:
        n = len(data)
        points = sorted({*range(0, n, max(1, n // 40)), *range(max(0, n - 24), n)})
        row["cutsAccepted"] = [p for p in points if "sha256" in verdict(data[:p])]
        row["cutsRefused"] = [p for p in points if "refused" in verdict(data[:p])]
    rows.append(row)

provenance = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "script": "tools/oracle/image_fixtures.py"}
with open(os.path.join(OUT, "decode.json"), "w") as file:
    json.dump({"provenance": provenance, "pictures": rows}, file, indent=1)


def noise(w, h, seed):
    """The test makes the same bytes: a 31-bit linear congruential generator."""
    n = w * h * 3
    out = np.empty(n, np.uint8)
    x = seed
    for i in range(n):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = (x >> 16) & 255
    return Image.fromarray(out.reshape(h, w, 3))


cases = []
for w, h in [(1, 1), (1, 7), (7, 1), (33, 20), (20, 33), (64, 64), (65, 64), (30, 90), (90, 30), (12, 70), (3, 200)]:
    for mode, filt, size, fill in [
        ("shortest", "bicubic", 32, 0),
        ("shortest", "bilinear", 47, 0),
        ("longest", "bicubic", 32, 127),
        ("squash", "bilinear", 24, 0),
        ("squash", "bicubic", [16, 40], 0),
        ("shortest", "bicubic", [24, 36], 0),
    ]:
        cases.append((w, h, mode, filt, size, fill))
cases += [(2, 65500, "shortest", "bicubic", 8, 0), (1, 20000, "squash", "bicubic", 16, 0)]
cases += [(5000, 2, "shortest", "bicubic", 8, 0), (230, 310, "shortest", "bicubic", 224, 0)]
out = []
for seed, (w, h, mode, filt, size, fill) in enumerate(cases, 1):
    transform = image_transform(
        tuple(size) if isinstance(size, list) else size, False, resize_mode=mode, interpolation=filt, fill_color=fill
    )
    row = {"width": w, "height": h, "seed": seed, "resize_mode": mode, "interpolation": filt, "size": size, "fill_color": fill}
    try:
        tensor = transform(noise(w, h, seed)).numpy()
        row["sha256"] = hashlib.sha256(np.ascontiguousarray(tensor, dtype="<f4").tobytes()).hexdigest()
    except ValueError as error:
        row["refused"] = str(error)
    out.append(row)
with open(os.path.join(OUT, "preprocess.json"), "w") as file:
    json.dump({"provenance": provenance, "cases": out}, file, indent=1)
print(len(rows), "pictures", sum(len(d) for d in made.values()), "bytes;", len(out), "preprocess cases")
