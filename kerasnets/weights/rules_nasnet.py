"""What keras.applications calls the layers of NASNet-A."""

import re

# A path here -> its name there, in normal cells and in reduction cells.
PATHS = {
    "normal": {"0_left": "left1", "0_right": "right1", "1_left": "left2", "1_right": "right2", "4_left": "left5"},
    "reduction": {"0_left": "left1", "0_right": "right1", "1_right": "right2", "2_right": "right3", "4_left": "left4"},
}
PARTS = {"conv_1x1.conv": "conv_1", "conv_1x1.bn": "bn_1"}
ADJUSTMENTS = {
    "path_1.conv": "adjust_conv_1", "path_2.conv": "adjust_conv_2", "final_path_bn": "adjust_bn",
    "conv_prev_1x1.conv": "adjust_conv_projection", "conv_prev_1x1.bn": "adjust_bn",
}  # fmt: skip
STEM = {"conv0.conv": "stem_conv1", "conv0.bn": "stem_bn1", "predictions": "predictions"}


def nasnet_names(layers) -> dict[str, tuple[str, str]]:
    """Our layer -> (their layer, "depthwise", "pointwise" or "" for all of it); empty for another network."""
    if not any(name.startswith("cell_stem_") for name in layers):
        return {}
    numbers = {int(found[1]) for name in layers if (found := re.match(r"cell_(\d+)\.", name))}
    return {name: _theirs(name, len(numbers) // 3) for name in layers if not name.startswith("aux")}


def _theirs(name: str, cells: int) -> tuple[str, str]:
    if name in STEM:
        return STEM[name], ""
    cell, number, rest = re.fullmatch(r"(cell_stem|reduction_cell|cell)_(\d+)\.(.*)", name).groups()
    number, kind = int(number), "normal" if cell == "cell" else "reduction"
    block = {"cell_stem": f"stem_{number + 1}", "reduction_cell": f"reduce_{cells * (number + 1)}"}.get(
        cell, str(number + (number >= cells))
    )
    if rest in ADJUSTMENTS:
        return f"{ADJUSTMENTS[rest]}_{block}", ""
    if rest in PARTS:
        return f"{kind}_{PARTS[rest]}_{block}", ""
    path, part = re.fullmatch(r"comb_iter_(\w+)\.(.*)", rest).groups()
    step = part.removeprefix("bn_sep_").removeprefix("separable_")[0]
    outside = f"{kind}_{PATHS[kind][path]}_{block}"
    if part.startswith("bn"):
        return f"separable_conv_{step}_bn_{outside}", ""
    return f"separable_conv_{step}_{outside}", "depthwise" if "depthwise" in part else "pointwise"
