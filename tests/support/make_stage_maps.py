"""Writes goldens/stage_maps.json.gz: an inner feature map of public networks, on the weights of goldens/README.md.

    python tests/support/make_stage_maps.py [FOLDER]        needs torch, torchvision and timm

Logits cannot see everything: a map in the middle shows where two networks begin to differ. Of each map 256 values are
kept; their places follow from the name.
"""

import gzip
import json
import sys
import zlib
from pathlib import Path

import numpy as np
from golden_files import GOLDENS, golden, golden_weights

# Golden -> the PyTorch module whose output is kept, and our layer of the same output where its name differs.
MODULES = {
    "timm__inception_v4": "features.13",
    "timm__mobilenetv1_100": "blocks.3.1.bn2 blocks.3.1.bn2.act",
    "timm__resnetv2_50": "stages.2.blocks.1",
    "timm__seresnet50": "layer2.3",
    "timm__seresnext50_32x4d": "layer2.3",
    "timm__tf_efficientnet_b0": "blocks.3.2",
    "timm__tf_mobilenetv3_large_100": "blocks.3.1",
    "timm__xception": "block6",
    "torchvision__alexnet": "features.9 features.8.relu",
    "torchvision__densenet121": "features.denseblock3.denselayer10.conv2",
    "torchvision__efficientnet_b0": "features.4.2",
    "torchvision__googlenet": "inception4b",
    "torchvision__inception_v3": "Mixed_6c",
    "torchvision__mobilenet_v2": "features.8",
    "torchvision__mobilenet_v3_large": "features.8",
    "torchvision__resnet18": "layer2.1",
    "torchvision__resnet50": "layer2.3",
    "torchvision__resnext50_32x4d": "layer2.3",
    "torchvision__squeezenet1_0": "features.7 features.7.concat",
    "torchvision__vgg16": "features.16",
}


def network(name):
    import timm
    import torchvision

    source, _, model = name.partition("__")
    if source == "timm":
        return timm.create_model(model, pretrained=False)
    extras = {"aux_logits": True, "init_weights": False} if model in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(model, weights=None, **extras)


def logits_and_map(net, module, image):
    import torch

    kept = []
    net.get_submodule(module).register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    with torch.no_grad():
        logits = net(torch.from_numpy(image.transpose(0, 3, 1, 2).copy()))
    return logits.numpy()[0], kept[0].numpy().transpose(0, 2, 3, 1)[0]


def main(folder=GOLDENS):
    import torch

    found = {}
    for name, places in MODULES.items():
        data, net = golden(name), network(name).eval()
        state = {tensor: torch.from_numpy(array) for tensor, array in golden_weights(name).items()}
        net.load_state_dict(state, strict=False)
        module, *layer = places.split()
        size = data["input_size"]
        image = np.random.default_rng(size).uniform(-1.5, 1.5, (1, size, size, 3)).astype(np.float32)
        logits, values = logits_and_map(net, module, image)
        expected = np.asarray(data["logits"])
        assert np.abs(logits - expected).max() / expected.std() < 1e-4, name
        chosen = np.random.default_rng(zlib.crc32(name.encode())).integers(values.size, size=256)
        found[name] = {
            "layer": (layer or [module])[0],
            "shape": list(values.shape),
            "std": float(values.std()),
            "values": [round(float(value), 7) for value in values.reshape(-1)[chosen]],
        }
        print(name, module, values.shape, f"{values.std():.3f}", flush=True)
    path = Path(folder) / "stage_maps.json.gz"
    path.write_bytes(gzip.compress(json.dumps(found).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
