"""`kerasnets compare`: the rows are the catalogue's, the charts and the page are whole, and speeds are measured."""

import csv
import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from kerasnets.cli.app import run
from kerasnets.model_index import model_info
from kerasnets.report.comparison import compare, training_of
from kerasnets.report.comparison_charts import pareto
from kerasnets.report.measured import measured


def test_rows_are_published_figures():
    rows = compare(["resnet50_v1_5", "vgg16"])
    assert [(row["name"], row["training"]) for row in rows] == [
        ("resnet50_v1_5", "modern recipe"),
        ("resnet50_v1_5", "first release"),
        ("vgg16", "first release"),
    ]
    for row in rows:
        info = model_info(row["name"])
        own = next(c for c in info.checkpoints if c.tag == row["checkpoint"])
        assert (row["top1"], row["source"], row["size"]) == (own.top1, own.source, own.measured_at)
        assert (row["parameters"], row["year"]) == (info.parameters, info.paper.year)
        assert row["density"] == pytest.approx(own.top1 / info.parameters * 1e6)
    assert rows[1]["multiply_adds"] == model_info("resnet50_v1_5").multiply_adds


def test_a_pattern_with_a_dot_means_checkpoints():
    rows = compare(["resnet50_v1_5.a[123]_in1k"])
    assert [row["checkpoint"] for row in rows] == ["a1_in1k", "a2_in1k", "a3_in1k"]
    small = rows[2]  # a3 was measured at 160 pixels
    assert small["size"] == 160 and small["multiply_adds"] < 0.52 * rows[0]["multiply_adds"]


def test_how_a_checkpoint_was_trained():
    kinds = {c.tag: training_of(c) for c in model_info("resnet50_v1_5").checkpoints}
    assert kinds["tv_in1k"] == kinds["IMAGENET1K_V1"] == "first release"
    assert kinds["a1_in1k"] == kinds["IMAGENET1K_V2"] == "modern recipe"
    assert kinds["fb_swsl_ig1b_ft_in1k"] == "more data"


def test_pareto_front():
    rows = [{"cost": cost, "top1": top1} for cost, top1 in ((1, 50), (2, 40), (2, 60), (3, 60), (4, 70))]
    assert pareto(rows, "cost") == [0, 2, 4]
    assert [row["pareto"] for row in compare(["vgg16", "mobilenet_v2", "alexnet_torchvision"])] == [True, True, False]


def test_files(tmp_path):
    rows = compare(["resnet*", "mobilenet*"], output=tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    written = list(csv.DictReader((folder / "comparison.csv").open()))
    assert [row["name"] for row in written] == [row["name"] for row in rows]
    assert float(written[0]["top1"]) == rows[0]["top1"]
    for name in ("accuracy", "accuracy_operations", "accuracy_parameters", "density", "history"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        svg = ET.parse(folder / f"{name}.svg").getroot()
        tips = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}title")]
        assert name == "history" or sum(rows[0]["name"] in tip for tip in tips) >= 1
        assert name == "history" or len(tips) == len(rows)
    page = (folder / "index.html").read_text()
    assert page.count("<svg") == 5 and "resnet152" in page
    before = (folder / "accuracy.svg").read_bytes()
    compare(["resnet*", "mobilenet*"], output=folder)
    assert (folder / "accuracy.svg").read_bytes() == before


def test_measured_columns(tmp_path, monkeypatch, capsys):
    """The columns of measured figures, from figures that were not measured."""
    figures = {"milliseconds_1": 2.0, "spread_1": (1.5, 2.5), "milliseconds_16": 20.0, "spread_16": (19.0, 22.0)}
    figures |= {"peak_memory": 5e6, "joules": 0.25}
    monkeypatch.setattr("kerasnets.report.comparison.measured", lambda name, steps: figures)
    rows = compare(["mobilenet_v2", "vgg16"], measure=True, output=tmp_path)
    assert all(row["milliseconds_16"] == 20.0 for row in rows)
    written = next(csv.DictReader((tmp_path / "comparison.csv").open()))
    assert (written["spread_1"], written["steps"]) == ("1.5-2.5", "10")
    found = {path.stem for path in tmp_path.glob("*.svg")}
    assert {"accuracy_time_1", "accuracy_time_16", "accuracy_memory", "accuracy_energy"} <= found
    figures["joules"] = None
    assert run(["compare", "vgg16", "--measure", "--steps", "3", "-o", str(tmp_path)]) == 0
    said = "Times: median and quartiles of 3 batches on this machine. Energy: not run, because this machine has no"
    page, printed = (tmp_path / "index.html").read_text(), capsys.readouterr().out
    assert said in page and said in printed and all("20 (19-22)" in text for text in (page, printed))


def test_command(capsys):
    assert run(["compare", "mobilenet_v2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "mobilenet_v2"
    assert run(["compare", "resnet55"]) == 2
    assert "Did you mean 'resnet50'" in capsys.readouterr().err
    assert run(["compare", "lenet5"]) == 2
    assert "No network with public ImageNet weights" in capsys.readouterr().err


def test_charts_without_tensorflow():
    code = (
        "import sys; from kerasnets.report.comparison import compare;"
        "from kerasnets.report.comparison_charts import charts;"
        "charts(compare(['vgg*'])); print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.slow
def test_a_network_is_measured_in_its_own_process():
    found = measured("lenet5", steps=3)
    for batch in (1, 16):
        low, high = found[f"spread_{batch}"]
        assert 0 < low <= found[f"milliseconds_{batch}"] <= high
    assert found["peak_memory"] > 1e6
