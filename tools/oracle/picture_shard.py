"""Packs every jpg, jpeg, png, webp and gif below some folders into one shard, captions from their names.

python picture_shard.py OUT.tar FOLDER...
"""

import io
import sys
import tarfile
from pathlib import Path

out, *folders = sys.argv[1:]
count = 0
with tarfile.open(out, "w") as tar:
    for folder in folders:
        for file in sorted(Path(folder).rglob("*")):
            ext = file.suffix.lower().removeprefix(".")
            if ext not in {"jpg", "jpeg", "png", "webp", "gif"} or not file.is_file():
                continue
            key = f"{count:05d}_{file.stem.replace('.', '_')}"
            caption = f"a picture called {file.stem.replace('_', ' ').replace('-', ' ')} in {file.parent.name}"
            for name, data in ((f"{key}.{ext}", file.read_bytes()), (f"{key}.txt", caption.encode(errors="replace"))):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            count += 1
print(count)
