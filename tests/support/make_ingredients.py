"""Writes tests/goldens/ingredients.npz: what torchvision, timm and PyTorch compute for the ingredients of recipes.

    python tests/support/make_ingredients.py

It needs torch, torchvision and timm. The random draws of each case are chosen here and stored beside its result, so
that the tests give the same draws to our code.
"""

import random
from pathlib import Path
from unittest import mock

import numpy as np
import timm
import torch
import torchvision
from timm.data.auto_augment import _RAND_INCREASING_TRANSFORMS, AugmentOp
from timm.data.distributed_sampler import RepeatAugSampler
from timm.data.mixup import Mixup
from timm.data.random_erasing import RandomErasing as TimmErasing
from timm.loss import BinaryCrossEntropy
from timm.optim import Lamb, param_groups_layer_decay
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import InterpolationMode, RandomErasing, autoaugment

BILINEAR = InterpolationMode.BILINEAR
FILE = Path(__file__).parents[1] / "goldens" / "ingredients.npz"


def picture() -> np.ndarray:
    """A small image with slopes, edges and noise, uint8 [18, 20, 3]."""
    rng, (y, x) = np.random.default_rng(7), np.indices((18, 20))
    smooth = np.stack([12 * x, 200 - 9 * y, 20 + 5 * (x + y)], -1) + rng.normal(0, 12, (18, 20, 3))
    smooth[4:10, 6:14] += (60, -40, 90)
    return np.clip(smooth, 3, 250).astype(np.uint8)


def channels_first(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def integers(*values):
    """Replaces `torch.randint` by these values, one a call."""
    left = list(values)
    return mock.patch.object(torch, "randint", lambda *_, **__: torch.tensor([left.pop(0)]))


def torchvision_policies(image) -> dict:
    """Trivial: each operation at bins 4, 17 and 30 of 30; rand: bin 9; auto: each pair of ImageNet, both applied."""
    tensor, found = channels_first(image), {"trivial": [], "rand": [], "auto": []}
    trivial, rand = autoaugment.TrivialAugmentWide(interpolation=BILINEAR), autoaugment.RandAugment(1)
    rand.interpolation = BILINEAR
    for number, (_, (levels, signed)) in enumerate(trivial._augmentation_space(31).items()):
        for level in (4, 17, 30):
            with integers(number, *([level] if levels.ndim else []), *([level % 2] if signed else [])):
                found["trivial"].append(trivial(tensor))
    for number, (_, (_, signed)) in enumerate(rand._augmentation_space(31, (18, 20)).items()):
        with integers(number, *([number % 2] if signed else [])):
            found["rand"].append(rand(tensor))
    auto = autoaugment.AutoAugment(interpolation=BILINEAR)
    for number in range(25):
        params = (number, torch.zeros(2), torch.tensor([number % 2, 1]))
        with mock.patch.object(auto, "get_params", lambda _, params=params: params):
            found["auto"].append(auto(tensor))
    return {name: torch.stack(images).numpy().transpose(0, 2, 3, 1) for name, images in found.items()}


def timm_operations(image) -> dict:
    """Each operation of `rand-...-inc1` at magnitudes 2, 7 and 9 on Pillow's images, with a positive sign."""
    from PIL import Image

    arguments, images = [], []
    with mock.patch.object(random, "random", lambda: 0.0), mock.patch.object(random, "choice", lambda ways: ways[0]):
        for name in _RAND_INCREASING_TRANSFORMS:
            for magnitude in (2, 7, 9):
                operation = AugmentOp(name, prob=1.0, magnitude=magnitude)
                known = operation.level_fn(float(magnitude), operation.hparams) if operation.level_fn else (0.0,)
                arguments.append(known[0])
                images.append(np.asarray(operation(Image.fromarray(image))))
    return {"timm_arguments": np.array(arguments, float), "timm_images": np.stack(images)}


def erased(image) -> dict:
    """Six images of each library's random erasing, with the draws [area, ratio, top, left] of their only try."""
    draws = np.random.default_rng(3).random((6, 4)).astype(np.float32).astype(float)
    draws[:, 0] *= 0.5  # so that the first rectangle fits
    torchvision_images, timm_images = [], []
    for row in draws:
        left = list(row)

        def uniform(tensor, low=0.0, high=1.0, left=left):
            return tensor.fill_(low + (high - low) * left.pop(0))

        def whole(low, high, size, left=left):
            return torch.tensor([int(left.pop(0) * high)])

        with mock.patch.object(torch.Tensor, "uniform_", uniform), mock.patch.object(torch, "randint", whole):
            torchvision_images.append(RandomErasing(p=1.0, value=9)(channels_first(image)).numpy().transpose(1, 2, 0))
        left = list(row)
        with (
            mock.patch.object(random, "random", lambda: 0.0),
            mock.patch.object(random, "uniform", lambda low, high, left=left: low + (high - low) * left.pop(0)),
            mock.patch.object(random, "randint", lambda low, high, left=left: int(left.pop(0) * (high + 1))),
        ):
            pixels = TimmErasing(probability=1.0, min_area=0.02, max_area=1 / 3, device="cpu")(channels_first(image))
            timm_images.append(pixels.numpy().transpose(1, 2, 0))
    return {"erasing_draws": draws, "erasing": np.stack(torchvision_images), "timm_erasing": np.stack(timm_images)}


def mixed() -> dict:
    """timm's mixup and cutmix of two images, each with a weight of its own, and the labels."""
    rng = np.random.default_rng(5)
    images, weights = rng.uniform(0, 255, (2, 10, 10, 3)).astype(np.float32), np.float32([0.3, 0.85])
    found = {"mixed_images": images, "mixed_weights": weights, "cut_centres": np.array([[2, 7], [8, 4]])}
    for name, cut in (("mixup", False), ("cutmix", True)):
        mixup, centres = Mixup(mode="elem", num_classes=4, label_smoothing=0.0), list(found["cut_centres"].ravel())
        parameters = weights.copy(), np.array([cut, cut])
        with (
            mock.patch.object(mixup, "_params_per_elem", lambda _, parameters=parameters: parameters),
            mock.patch.object(np.random, "randint", lambda *_, centres=centres, **__: centres.pop(0)),
        ):
            x, y = mixup(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.tensor([1, 3]))
        found |= {name: x.numpy().transpose(0, 2, 3, 1), f"{name}_labels": y.numpy()}
    return found


def losses() -> dict:
    rng = np.random.default_rng(6)
    logits, labels = rng.normal(0, 2, (4, 5)).astype(np.float32), np.array([3, 0, 4, 3])
    soft = rng.dirichlet(np.ones(5), 4).astype(np.float32)
    several = (rng.random((4, 5)) < 0.4).astype(np.float32)
    x, y, weights = torch.from_numpy(logits), torch.from_numpy(labels), np.float32([1, 2, 0.5, 3, 0.25])
    found = {"logits": logits, "labels": labels, "soft": soft, "several": several, "class_weights": weights}
    smoothed = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=0.1)
    found |= {"smoothed": smoothed(x, y), "smoothed_soft": smoothed(x, torch.from_numpy(soft))}
    weighted = torch.nn.CrossEntropyLoss(torch.from_numpy(weights), reduction="none")
    found |= {"weighted": weighted(x, y)}
    for name, settings, target in (
        ("binary", {"smoothing": 0.0}, y),
        ("binary_smoothed", {"smoothing": 0.1}, y),
        ("binary_threshold", {"smoothing": 0.0, "target_threshold": 0.2}, torch.from_numpy(soft)),
        ("binary_several", {"smoothing": 0.0}, torch.from_numpy(several)),
    ):
        found[name] = BinaryCrossEntropy(reduction="none", **settings)(x, target).mean(-1)
    return {name: np.asarray(value) for name, value in found.items()}


def optimizers() -> dict:
    """Four steps of LAMB and Muon from the same weights with the same gradients, and an average of the weights."""
    rng = np.random.default_rng(8)
    shapes = {"kernel": (5, 4), "bias": (4,)}
    found = {f"first_{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    found |= {f"gradient_{name}": rng.normal(size=(4, *shape)).astype(np.float32) for name, shape in shapes.items()}
    for which in ("lamb", "muon"):
        kernel, bias = (torch.nn.Parameter(torch.from_numpy(found[f"first_{name}"].copy())) for name in shapes)
        if which == "lamb":
            groups = [{"params": [kernel], "weight_decay": 0.02}, {"params": [bias], "weight_decay": 0.0}]
            optimizer = Lamb(groups, lr=0.05, max_grad_norm=1.0)
        else:
            optimizer = torch.optim.Muon([kernel], lr=0.05, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        average = AveragedModel(torch.nn.ParameterList([kernel]), multi_avg_fn=get_ema_multi_avg_fn(0.9))
        average.update_parameters(torch.nn.ParameterList([kernel]))  # the first one copies
        steps, averages = [], []
        for number in range(4):
            kernel.grad = torch.from_numpy(found["gradient_kernel"][number].copy())
            bias.grad = torch.from_numpy(found["gradient_bias"][number].copy())
            with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.float):  # Muon's products in full precision
                optimizer.step()
            average.update_parameters(torch.nn.ParameterList([kernel]))
            steps.append(kernel.detach().numpy().copy())
            averages.append(average.module[0].detach().numpy().copy())
        found |= {
            which: np.stack(steps),
            f"{which}_average": np.stack(averages),
            f"{which}_bias": bias.detach().numpy(),
        }
    return found


def repeated() -> dict:
    """The images of each of two replicas: 16 images, three copies, and their shuffled order."""
    ranks = [RepeatAugSampler(range(16), 2, rank, num_repeats=3, selected_round=0) for rank in range(2)]
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0)).numpy()
    return {"repeat_order": order, "repeated": np.array([list(rank) for rank in ranks])}


def layer_rates() -> dict:
    """The rates of `layer_decay=0.5` for the weights of timm's ResNet-50, by name."""
    model = timm.create_model("resnet50", pretrained=False)
    scales = {id(p): group["lr_scale"] for group in param_groups_layer_decay(model, layer_decay=0.5) for p in
              group["params"]}  # fmt: skip
    names = [(name, scales[id(p)]) for name, p in model.named_parameters()]
    return {"rate_names": np.array([n for n, _ in names]), "rates": np.array([s for _, s in names])}


def main() -> None:
    image = picture()
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    found = {"source": np.array(versions), "image": image}
    for make in (torchvision_policies, timm_operations, erased):
        found |= make(image)
    for make in (mixed, losses, optimizers, repeated, layer_rates):
        found |= make()
    np.savez_compressed(FILE, **found)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes of {versions}")


if __name__ == "__main__":
    main()
