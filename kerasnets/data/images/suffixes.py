"""The names of image files. Nothing heavy is imported here, because commands use it."""

_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def is_image_file(name: str) -> bool:
    """Returns whether the ending of a file name is that of a format that can be decoded."""
    return name.lower().endswith(_SUFFIXES)
