"""The block `data` of a recipe. All augmentation is off by default.

Lengths are in pixels, shares and probabilities 0 to 1, angles in degrees, colour strengths factors around 1.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kerasnets.recipe.options import Length, Options, Positive, PositiveShare, Share


def _low_to_high(pair):
    if pair[0] > pair[1]:
        raise ValueError("should go from low to high")
    return pair


Shares = Annotated[tuple[Share, Share], AfterValidator(_low_to_high)]
Factors = Annotated[tuple[Positive, Positive], AfterValidator(_low_to_high)]
Lengths = Annotated[tuple[Length, Length], AfterValidator(_low_to_high)]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"]
BetaAlpha = Annotated[float, Field(ge=0.0, le=100.0)]


class SourceOptions(Options):
    """Where the labelled images come from.

    `digits`: scikit-learn's handwritten digits. `folder`: class sub-folders under `path`. `arrays`: an .npz file at
    `path` with the arrays `x_<split>` and `y_<split>`; labels [N, classes] of zeros and ones let an image have several
    classes, for `loss.name: binary_cross_entropy`. `tfds`: the tensorflow-datasets set `name` in `data_dir`.
    `tfrecord`: the folder `path` that `kerasnets shard` wrote; `verify: false` checks only the sizes of its files.
    `index`: where the names of the files of a large folder are kept; by default in the cache (docs/large_data.md).
    `own`: the datasets of `train(recipe, data=(train, validation))`.
    """

    kind: Literal["digits", "folder", "arrays", "tfds", "tfrecord", "own"]
    path: str | None = None
    name: str | None = None
    data_dir: str | None = None
    download: bool = True
    image_key: str = "image"
    label_key: str = "label"
    index: str | None = None
    verify: bool = True
    shuffle_buffer: int = Field(10_000, ge=1, le=10_000_000)
    pad: int = Field(0, ge=0, le=512)

    @model_validator(mode="after")
    def _check(self):
        if self.kind in ("folder", "arrays", "tfrecord") and not self.path:
            raise ValueError(f"A source of kind {self.kind!r} needs `path`. Received: path={self.path!r}")
        if self.kind == "tfds" and not self.name:
            raise ValueError(f"A source of kind 'tfds' needs `name`, such as 'cifar10'. Received: name={self.name!r}")
        if self.index and self.kind != "folder":
            raise ValueError(f"`index` is only for 'folder'. Received: kind={self.kind!r}, index={self.index!r}")
        if self.pad and self.kind not in ("digits", "arrays"):
            raise ValueError(f"`pad` is only for 'digits' and 'arrays'. Received: kind={self.kind!r}, pad={self.pad}")
        return self


class RandomResizedCrop(Options):
    """A rectangle resized to the input size (GoogLeNet, section 6): its share of the image, and width/height."""

    scale: Annotated[tuple[PositiveShare, PositiveShare], AfterValidator(_low_to_high)] = (0.08, 1.0)
    ratio: Factors = (3 / 4, 4 / 3)


class PadAndCrop(Options):
    """A border of `padding` pixels on each side, then a random crop of the input size (ResNet, section 4.2).

    The border is black (`constant`), the mean colour of the network (`mean`, zero after normalisation), or the mirrored
    edge of the image (`reflect`).
    """

    padding: int = Field(4, ge=1, le=512)
    mode: Literal["constant", "mean", "reflect"] = "constant"


class Affine(Options):
    """A random shift (share of the side), and rotation, scaling and shear about the centre; new pixels are 0."""

    shift: Share = 0.0
    rotation: float = Field(0.0, ge=0.0, le=180.0)
    scale: Factors = (1.0, 1.0)
    shear: float = Field(0.0, ge=0.0, lt=90.0)


class ColorJitter(Options):
    """Random factors in [1 - x, 1 + x] for brightness, contrast and saturation; a rotation of the hue in [-x, x]."""

    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: float = Field(0.0, ge=0.0, le=0.5)


class RandAugment(Options):
    """RandAugment (Cubuk et al. 2019): `count` random operations of strength `magnitude`, each with probability `rate`.

    `policy: torchvision` has 14 operations, and its magnitude 9 of 30 is 0.3 here. `policy: timm` has the 15 operations
    of `rand-...-inc1`, and its `m7-mstd0.5` is a magnitude of 0.7 with `magnitude_stddev: 0.05`. `geometric: false`
    leaves out the five operations that move pixels.
    """

    policy: Literal["torchvision", "timm"] = "torchvision"
    count: int = Field(2, ge=1, le=20)
    magnitude: Share = 0.3
    magnitude_stddev: Share = 0.0
    rate: Share = 1.0
    geometric: bool = True


class RandomErasing(Options):
    """A rectangle replaced by the mean colour of the network, or by `noise` (Zhong et al. 2017).

    `scale` is its share of the image, `ratio` its height / width.
    """

    probability: Share = 0.1
    scale: Annotated[tuple[PositiveShare, PositiveShare], AfterValidator(_low_to_high)] = (0.02, 0.33)
    ratio: Factors = (0.3, 3.3)
    fill: Literal["mean", "noise"] = "mean"


class RandomCutout(Options):
    """A rectangle set to `fill_value` (DeVries and Taylor 2017); its sides are shares of the image in [low, high]."""

    height: Shares = (0.5, 0.5)
    width: Shares = (0.5, 0.5)
    fill_value: float = Field(0.0, ge=0.0, le=255.0)


class AugmentationOptions(Options):
    """The augmentation of training images, in this order; `kerasnets.data.images.per_image` describes each operation.

    `random_resized_crop` or `scale_jitter` places the crop; only one of them can be given. The same holds for
    `auto_augment` (the data set that its policy was learned on), `rand_augment` and `trivial_augment`.
    `interpolation` resizes the crop, while evaluation keeps the network's own filter. `bilinear` averages where the
    crop shrinks, and is as fast for every network. `bicubic` has sharper edges where the crop grows, and halves the
    speed of the input. `antialias` shrinks training crops by averaging, and lets the JPEG decoder do a part of it;
    `false` samples pixels, which is a little faster and aliases.
    `mixup` and `cutmix` are the alpha of the Beta distribution; with both, each batch takes one of the two at even
    odds. Either mixes neighbours in the batch, inside the training step. `repeats` takes that many copies of fewer
    images in an epoch, each augmented differently (Hoffer et al. 2020).
    """

    random_resized_crop: RandomResizedCrop | None = None
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    scale_jitter: Lengths | None = None
    pad_and_crop: PadAndCrop | None = None
    random_flip: Literal["horizontal", "vertical", "both"] | None = None
    affine: Affine | None = None
    color_jitter: ColorJitter | None = None
    pca_lighting: float = Field(0.0, ge=0.0, le=10.0)
    auto_augment: Literal["imagenet", "cifar10", "svhn"] | None = None
    rand_augment: RandAugment | None = None
    trivial_augment: bool = False
    random_erasing: RandomErasing | None = None
    random_cutout: RandomCutout | None = None
    mixup: BetaAlpha = 0.0
    cutmix: BetaAlpha = 0.0
    repeats: int = Field(1, ge=1, le=100)

    @model_validator(mode="after")
    def _check(self):
        if self.random_resized_crop and self.scale_jitter:
            raise ValueError("`random_resized_crop` and `scale_jitter` both place the crop: give one of them.")
        policies = [name for name in ("auto_augment", "rand_augment", "trivial_augment") if getattr(self, name)]
        if len(policies) > 1:
            raise ValueError("Only one of `auto_augment`, `rand_augment` and `trivial_augment` can be given.")
        return self


class DataOptions(Options):
    """The data that a run trains on and is evaluated on.

    `size`, `crop_fraction` and `interpolation` override those of the network; random training crops have a filter of
    their own, `augmentation.interpolation`. The trained network is scored on `evaluation_split`. The best epoch is
    chosen on `validation_split`, or on `validation_fraction` of the training images: that fraction of each class, held
    out from training.

    `training_size` trains on smaller images than evaluation and the finished network take (Touvron et al. 2019,
    "Fixing the train-test resolution discrepancy"), for networks that take images of any size.

    `geometry` is how evaluation, and training without a random crop, make a square of an image: `centre_crop`,
    `stretch` (as MediaPipe does) or `pad`. The default is that of the network.

    `cache: memory` reads every file once, before the first step, and keeps it encoded. `class_balanced` trains on every
    class equally often (Shen, Lin and Huang 2015); `tfds` and `tfrecord` need `cache: memory` for it.
    """

    source: SourceOptions
    train_split: str = "train"
    validation_split: str | None = None
    validation_fraction: float | None = Field(None, gt=0.0, lt=1.0)
    evaluation_split: str = "test"
    augmentation: AugmentationOptions = AugmentationOptions()
    size: int | None = Field(None, ge=1, le=4096)
    training_size: int | None = Field(None, ge=1, le=4096)
    crop_fraction: float | None = Field(None, gt=0.0, le=1.0)
    interpolation: Interpolation | None = None
    geometry: Literal["centre_crop", "stretch", "pad"] | None = None
    cache: Literal["none", "memory"] = "none"
    class_balanced: bool = False
    bad_image_limit: Share = 0.01
    service: str | None = None

    @model_validator(mode="after")
    def _service_reads(self):
        if self.service is None:
            return self
        if not re.fullmatch(r"grpc://([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}", self.service):
            raise ValueError(f"`service` should be grpc://HOST:PORT. Received: service={self.service!r}")
        if self.cache == "memory":
            raise ValueError(
                "With `service`, its workers read the images; set data.cache to none. "
                f"Received: service={self.service!r}, cache='memory'"
            )
        return self

    @model_validator(mode="after")
    def _labels_known(self):
        if self.class_balanced and self.source.kind in ("tfds", "tfrecord") and self.cache != "memory":
            raise ValueError(
                "`class_balanced` needs all labels before training; set data.cache to memory for tfds and tfrecord. "
                f"Received: kind={self.source.kind!r}, cache={self.cache!r}"
            )
        return self

    @model_validator(mode="after")
    def _one_validation(self):
        if self.validation_split and self.validation_fraction:
            raise ValueError("`validation_split` and `validation_fraction` both choose the epoch: give one of them.")
        return self
