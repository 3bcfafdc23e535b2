"""The catalogue of public checkpoints, compared with its sources where they are installed."""

import dataclasses
import functools
import re
from pathlib import Path

import keras
import pytest
from nets import read_json

from kerasnets.build import build, create_model
from kerasnets.model_index import list_models, model_info
from kerasnets.registry import get_variant
from kerasnets.weights.catalogue import all_checkpoints, checkpoints, sibling
from kerasnets.weights.download import is_full

FACTS = all_checkpoints()
PEERS = read_json("parity_rows.json")


def of(source: str):
    return [(name, item) for name, found in FACTS.items() for item in found if item.source == source]


def test_every_entry_is_whole():
    for name, found in FACTS.items():
        variant = get_variant(name)
        assert len({item.tag for item in found}) == len(found) and not found[0].arguments, name
        for item in found:
            assert bool(item.url) != bool(item.hub and item.revision) and item.license and item.file, item
            assert len(item.preprocessing.mean) == variant.input_shape[2] and set(item.arguments) <= set(
                variant.extras
            ), item
            assert item.hash == "" or item.hash.partition(":")[0] in ("md5", "sha256"), item
    files = [(item.file, item.address) for found in FACTS.values() for item in found]
    assert len({file for file, _ in files}) == len({address for _, address in files})


def test_hashes_and_commits_are_whole_or_said_to_be_a_part():
    items = [item for found in FACTS.values() for item in found]
    for item in items:
        kind, _, digits = item.hash.partition(":")
        assert re.fullmatch(r"(main|[0-9a-f]{40})?", item.revision) and re.fullmatch(r"[0-9a-f]*", digits), item
        assert kind == "" or len(digits) in (8, 9, {"md5": 32, "sha256": 64}[kind]), item
        if named := re.search(r"-([0-9a-f]{8,9})\.(pth|th)$", item.url):  # the publisher's digits stand in the name
            assert item.hash.startswith(f"sha256:{named[1]}"), item
    whole = [item.hash for item in items if is_full(item.hash)]
    assert len(set(whole)) == len(whole) >= 66


def test_every_network_has_checkpoints_or_names_a_network_that_has():
    assert list_models(weights=True) == sorted(FACTS)
    assert all(sibling(name) == "" for name in FACTS)
    assert all(sibling(name) in ("", *FACTS) for name in list_models(weights=False))
    assert model_info("resnet18").checkpoints == FACTS["resnet18"] == checkpoints("resnet18")


def test_hashes_are_those_in_the_sources_of_keras():
    folder = Path(keras.applications.resnet.ResNet50.__code__.co_filename).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    found = of("keras.applications")
    assert len(found) == 36 and {name for name, _ in found} == {
        n for n, p in PEERS.items() if "keras.applications" in p
    }
    unhashed = {name for name, item in found if not item.hash}
    assert unhashed == {"mobilenet_v1", "mobilenet_v2"}  # Keras does not check these either
    assert all(item.hash.removeprefix("md5:") in sources for _, item in found if not item.hash.startswith("sha256:"))
    assert all(item.url.startswith("https://storage.googleapis.com/") for _, item in found)


def test_entries_are_those_of_torchvision():
    models = pytest.importorskip("torchvision.models")
    for name, item in of("torchvision"):
        weights = models.get_model_weights(PEERS[name]["torchvision"])[item.tag]
        accuracy = weights.meta["_metrics"]["ImageNet-1K"]
        assert (item.url, item.top1, item.top5) == (weights.url, accuracy["acc@1"], accuracy["acc@5"]), name
        assert item.preprocessing.size == item.measured_at == weights.transforms().crop_size[0], name
        assert re.search(r"-(\w+)\.pth$", weights.url)[1] == item.hash.removeprefix("sha256:")[:8]
    have = {(name, item.tag) for name, item in of("torchvision")}
    there = {
        (n, w.name) for n, p in PEERS.items() if "torchvision" in p for w in models.get_model_weights(p["torchvision"])
    }
    assert {tag for _, tag in there - have} <= {"IMAGENET1K_FEATURES"}


def test_entries_are_those_of_timm():
    timm = pytest.importorskip("timm")
    for name, item in of("timm"):
        known = timm.models.get_pretrained_cfg(
            item.file.removesuffix(".safetensors") if item.hub else _tagged(name, item)
        )
        assert (item.hub, item.url) == ((known.hf_hub_id, "") if known.hf_hub_id else ("", known.url)), item
        assert item.license == (known.license or "not stated") and known.num_classes == 1000
        pixels = item.preprocessing
        assert [round(255 * mean, 4) for mean in known.mean] == list(pixels.mean)
        assert [round(255 * std, 4) for std in known.std] == list(pixels.std)
        sizes = {known.input_size: known.crop_pct, known.test_input_size: known.test_crop_pct or known.crop_pct}
        assert (
            sizes[(3, pixels.size, pixels.size)] == pixels.crop_fraction and known.interpolation == pixels.interpolation
        )


def _tagged(name: str, item) -> str:
    return f"{PEERS[name]['timm']}.{item.tag}"


def stub(function, calls: list):
    """A function of the same signature that notes how it was called and costs nothing."""

    @functools.wraps(function)
    def cheap(x, *arguments, **extras):
        calls.append(extras)
        return keras.layers.GlobalAveragePooling2D()(x) if len(arguments) > 1 else x

    return cheap


def test_every_checkpoint_is_built_with_its_arguments_size_and_numbers(monkeypatch):
    """All of them, through the real builder with a body that costs nothing; no download."""
    monkeypatch.setattr("kerasnets.build.load_initial_weights", lambda *arguments: None)
    walked = 0
    for name, found in FACTS.items():
        for item in found:
            calls, variant = [], get_variant(name)
            variant = dataclasses.replace(variant, body=stub(variant.body, calls), head=stub(variant.head, calls))
            model = build(variant, weights=item.tag, name="renamed")
            size, built = item.preprocessing.size, {key: v for call in calls for key, v in call.items()}
            assert model.input_shape == (None, size, size, variant.input_shape[2]), (name, item.tag)
            assert model.preprocessing == item.preprocessing, (name, item.tag)
            assert built.items() >= item.arguments.items(), (name, item.tag)
            others = [key for key in variant.extras if key in built and key not in item.arguments]
            defaults = {key: variant.extras[key].default for key in others}
            assert built.items() >= defaults.items(), (name, item.tag)
            walked += 1
    assert walked == sum(map(len, FACTS.values())) == 242


ODD = sorted(
    (name, item.tag)
    for name, found in FACTS.items()
    for item in found
    if item.arguments or item.preprocessing.size != get_variant(name).input_shape[0]
)
CHEAP = ("mobilenet_v1", "resnet18")


@pytest.mark.parametrize(
    ("name", "tag"), [pytest.param(*one, marks=() if one[0] in CHEAP else pytest.mark.slow) for one in ODD]
)
def test_a_checkpoint_unlike_its_network_is_built(name, tag, monkeypatch):
    """Real networks: 17 of another size, 11 of another width."""
    monkeypatch.setattr("kerasnets.build.load_initial_weights", lambda *arguments: None)
    item = next(item for item in FACTS[name] if item.tag == tag)
    model, plain = create_model(name, weights=tag), create_model(name, **item.arguments)
    assert len(ODD) == 28 and model.input_shape[1] == item.preprocessing.size
    assert [v.shape for v in model.weights] == [v.shape for v in plain.weights]
