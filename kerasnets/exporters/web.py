"""Write a page for browsers that classifies photos and camera images: a TFLite file, LiteRT.js and the page."""

import json
import shutil
from pathlib import Path

from kerasnets.exporters.files import PAGE_NETWORK
from kerasnets.exporters.tflite_metadata import read_inside

PAGE = Path(__file__).parent / "page"
# The modules of LiteRT.js for processors with and without relaxed SIMD. Those for threads and JSPI are left out: they
# need headers of the server, or flags of the browser.
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")


def find_litert_js(folder: str | Path | None) -> Path:
    """Returns the folder with the npm packages `core` and `wasm-utils` of LiteRT.js.

    Args:
        folder: that folder, or `None` for `node_modules/@litertjs` in the current folder.

    Raises:
        ValueError: they are not there.
    """
    place = Path(folder) if folder is not None else Path("node_modules") / "@litertjs"
    needed = ["core/dist/index.js", "wasm-utils/dist/index.js", *(f"core/wasm/{name}.wasm" for name in _WASM)]
    if missing := [name for name in needed if not (place / name).is_file()]:
        raise ValueError(
            "A page needs LiteRT.js. `npm install @litertjs/core` puts it into node_modules/@litertjs; `litert_js` "
            f"(--litert-js) names another place. Received: {str(place)!r} without {missing[0]}"
        )
    return place


def write_page(folder: Path, litert_js: Path) -> None:
    """Adds the page and LiteRT.js to a folder that holds `network.tflite`.

    Args:
        folder: the folder of the page.
        litert_js: what `find_litert_js` gives.
    """
    about = json.dumps(read_inside(folder / PAGE_NETWORK), indent=2, ensure_ascii=False)
    (folder / "network.json").write_text(about + "\n", encoding="utf-8")
    for file in PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    sources = {f"{name}/index.js": litert_js / name / "dist" / "index.js" for name in ("core", "wasm-utils")}
    for name in (f"{name}{end}" for name in _WASM for end in (".js", ".wasm")):
        sources[f"wasm/{name}"] = litert_js / "core" / "wasm" / name
    for name, source in sources.items():
        (folder / "litert" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / "litert" / name)
