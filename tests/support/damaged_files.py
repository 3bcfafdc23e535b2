"""Files as cameras, converters and broken disks leave them: photographs, and damaged copies of any file."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from data_files import encode, photo
from PIL import Image


def animated(kind: str, seed: int) -> bytes:
    frames = [Image.fromarray(photo(seed + i)) for i in (0, 1)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def cmyk(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo(seed)).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


def rotated(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 2 + seed % 7
    return encode(photo(seed), "JPEG", exif=exif)


def deep(seed: int) -> bytes:
    return encode(np.random.default_rng(seed).integers(0, 65536, (40, 56), dtype="uint16"), "PNG")


def huge_png(seed: int, side: int) -> bytes:
    """A PNG of a few bytes whose header claims side x side pixels."""
    contents = bytearray(encode(photo(seed), "PNG"))
    contents[16:24] = struct.pack(">II", side, side)
    contents[29:33] = struct.pack(">I", zlib.crc32(bytes(contents[12:29])))
    return bytes(contents)


def huge_jpeg(seed: int, side: int) -> bytes:
    """A complete JPEG whose header claims side x side pixels."""
    contents = bytearray(encode(photo(seed), "JPEG"))
    place = contents.index(b"\xff\xc0") + 5
    contents[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(contents)


def huge_gif(seed: int, side: int) -> bytes:
    """A GIF whose screen and picture claim side x side pixels."""
    contents = bytearray(encode(photo(seed), "GIF"))
    place = contents.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 56, 40)) + 5
    contents[6:10] = contents[place : place + 4] = struct.pack("<HH", side, side)
    return bytes(contents)


def cut(kind: str, seed: int) -> bytes:
    contents = encode(photo(seed), kind)
    return contents[: len(contents) // 3]


# (suffix, seed -> contents, whether the picture can be decoded)
KINDS = (
    # A decoder that believes such a claim allocates the memory. The first file is also opened before the training.
    ("jpg", lambda seed: huge_jpeg(seed, 10_000), False),
    ("png", lambda seed: huge_png(seed, 10_000), False),
    ("gif", lambda seed: huge_gif(seed, 10_000), False),
    ("jpg", lambda seed: huge_jpeg(seed, 2_000), False),
    ("jpg", lambda seed: cut("JPEG", seed), False),
    ("png", lambda seed: cut("PNG", seed), False),
    ("jpg", lambda seed: b"", False),
    ("png", lambda seed: b"\0" * 500, False),
    ("jpg", lambda seed: b"not a picture at all", False),
    ("png", lambda seed: huge_png(seed, 60_000), False),
    ("jpg", lambda seed: huge_jpeg(seed, 65_500), False),
    ("png", lambda seed: encode(photo(seed), "JPEG"), True),
    ("jpg", lambda seed: encode(photo(seed), "TIFF"), True),
    ("gif", lambda seed: encode(photo(seed), "PNG"), True),
    ("jpg", cmyk, True),
    ("png", deep, True),
    ("gif", lambda seed: animated("GIF", seed), True),
    ("webp", lambda seed: animated("WEBP", seed), True),
    ("jpg", rotated, True),
)


def write_damaged(root, count: int, good: int) -> tuple[list[str], list[str]]:
    """Writes `count` odd and `good` plain files of two classes; returns the undecodable files and all files."""
    bad, names = [], []
    for number in range(count + good):
        suffix, make, readable = ("jpg", lambda seed: encode(photo(seed), "JPEG"), True)
        if number < count:
            suffix, make, readable = KINDS[number % len(KINDS)]
        path = root / "train" / ("cat", "dog")[number % 2] / f"{number:05}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(number))
        names.append(str(path))
        if not readable:
            bad.append(str(path))
    return bad, names


def damaged(good: bytes, seed: int) -> bytes:
    """Returns a damaged copy of a file; for every second seed the damage is near the beginning."""
    random, contents = np.random.default_rng(seed), bytearray(good)
    reach = len(good) if seed % 2 else min(len(good), 8192)
    place = int(random.integers(reach))
    if seed % 5 == 0:
        for hit in random.integers(reach, size=32):
            contents[hit] = random.integers(256)
    elif seed % 5 == 1:
        contents[place : place + 64] = random.bytes(64)
    elif seed % 5 == 2:
        contents[place : place + 256] = bytes(256)
    else:
        del contents[place : (None if seed % 5 == 3 else place + 16)]
    return bytes(contents)


def refused(net, path, *words, error=ValueError):
    """Checks that a weights file is refused with one line that names it, and that no weight and no memory changes."""
    from kerasnets.weights.load import load_weights

    before = [np.array(v) for v in net.weights]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(error) as caught:
        load_weights(net, path)
    message = str(caught.value)
    assert "\n" not in message and path.name in message and all(word in message for word in words), message
    assert all((np.array(v) == b).all() for v, b in zip(net.weights, before, strict=True))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kilobytes
