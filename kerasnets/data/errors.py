"""What an error of TensorFlow says, without the frames that it writes around it."""

import re

# Lines that say where in the program, not what.
FRAMES = re.compile(
    r"Graph execution error:|Detected at node|Traceback \(|\s*File \"|\s*$|\d+ root error|<stack traces"
)
PLACES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|\(defined at .*?\)")


def first_line(error: Exception, longest: int = 300) -> str:
    """Returns the line of an error that says what went wrong, at most so many characters of it."""
    lines = [line for line in str(error).splitlines() if not FRAMES.match(line)]
    text = " ".join(PLACES.sub("", lines[0] if lines else "").split())
    return text[:longest] or type(error).__name__
