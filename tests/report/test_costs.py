"""The arithmetic of lectures, and the chart of a network's costs."""

import xml.etree.ElementTree as ET

import pytest
from nets import build_twin

import kerasnets
from kerasnets.report.profile_chart import draw_profile


def test_arithmetic(capsys):
    rows = {row["form"]: row for row in kerasnets.arithmetic()}
    assert (rows["two 3x3"]["weights"], rows["one 5x5"]["weights"]) == (18 * 64**2, 25 * 64**2)
    assert (rows["three 3x3"]["weights"], rows["one 7x7"]["weights"]) == (27 * 64**2, 49 * 64**2)
    assert rows["two 3x3"]["receptive_field"] == rows["one 5x5"]["receptive_field"] == 5
    assert rows["three 3x3"]["receptive_field"] == rows["one 7x7"]["receptive_field"] == 7
    assert (rows["3x3"]["weights"], rows["separable"]["weights"]) == (81, 36)
    assert rows["naive"]["multiply_adds"] == 854_196_224
    assert rows["1x1 to 64 first, pooling to 64"]["multiply_adds"] == 271_351_808
    printed = capsys.readouterr().out
    assert "854,196,224 multiply-adds" in printed and "15,237,608 values, 61.0 MB" in printed


def test_chart(tmp_path):
    model = build_twin("resnet18")
    svg = draw_profile(model, tmp_path / "costs.svg")
    assert ET.parse(svg).getroot().tag.endswith("svg")
    assert draw_profile(model, tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="an .svg, .png or .pdf file"):
        draw_profile(model, tmp_path / "costs.txt")
