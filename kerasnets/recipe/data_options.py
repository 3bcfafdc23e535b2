"""What a recipe may say about data, as strict pydantic models: an unknown key is an error, augmentation is off.

Lengths are pixels, shares and probabilities 0..1, angles degrees, colour strengths factors around 1.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class Options(BaseModel):
    """Base of all option groups: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceOptions(Options):
    """Where labelled images come from.

    `digits`: scikit-learn's handwritten digits. `folder`: class sub-folders under `path`. `arrays`: an .npz file at
    `path` with `x_<split>` and `y_<split>`. `tfds`: the tensorflow-datasets set `name` below `data_dir`. `tfrecord`:
    the folder `path` that `kerasnets shard` wrote; with `verify: false` only the sizes of its files are checked.
    """

    kind: Literal["digits", "folder", "arrays", "tfds", "tfrecord"]
    path: str | None = None
    name: str | None = None
    data_dir: str | None = None
    download: bool = True
    image_key: str = "image"
    label_key: str = "label"
    verify: bool = True
    shuffle_buffer: int = Field(10_000, ge=1)
    pad: int = Field(0, ge=0, le=512)

    @model_validator(mode="after")
    def _check(self):
        if self.kind in ("folder", "arrays", "tfrecord") and not self.path:
            raise ValueError(f"A source of kind {self.kind!r} needs `path`. Received: path={self.path!r}")
        if self.kind == "tfds" and not self.name:
            raise ValueError(f"A source of kind 'tfds' needs `name` ('cifar10'). Received: name={self.name!r}")
        if self.pad and self.kind not in ("digits", "arrays"):
            raise ValueError(f"`pad` works for 'digits' and 'arrays'. Received: kind={self.kind!r}, pad={self.pad}")
        return self


class RandomResizedCrop(Options):
    """A rectangle of random area (share of the image) and aspect ratio, resized to the input size (GoogLeNet, 6)."""

    scale: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _check(self):
        if not 0 < self.scale[0] <= self.scale[1] or not self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"`scale`, `ratio` go from low to high. Received: scale={self.scale}, ratio={self.ratio}")
        return self


class PadAndCrop(Options):
    """A border of `padding` pixels on each side, then a random crop of the input size (ResNet, section 4.2).

    The border is black (`constant`), the network's mean colour (`mean`: zeros once the mean is subtracted), or the
    image's own edge mirrored (`reflect`).
    """

    padding: int = Field(4, ge=1)
    mode: Literal["constant", "mean", "reflect"] = "constant"


class Affine(Options):
    """A small random shift (share of the side), rotation, scaling and shear about the centre; new pixels are 0."""

    shift: Share = 0.0
    rotation: float = Field(0.0, ge=0.0, le=180.0)
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    shear: float = Field(0.0, ge=0.0, lt=90.0)


class ColorJitter(Options):
    """Factors from [1 - x, 1 + x] for brightness, contrast and saturation; a turn of the hue circle from [-x, x]."""

    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: float = Field(0.0, ge=0.0, le=0.5)


class RandAugment(Options):
    """RandAugment (Cubuk et al. 2019), keras-cv's policy: `count` random operations of strength `magnitude`."""

    count: int = Field(2, ge=1)
    magnitude: Share = 0.5
    magnitude_stddev: Share = 0.15
    rate: Share = 10 / 11
    geometric: bool = True


class RandomCutout(Options):
    """A rectangle set to `fill_value` (DeVries and Taylor 2017); its sides, shares of the image's, from [low, high]."""

    height: tuple[Share, Share] = (0.5, 0.5)
    width: tuple[Share, Share] = (0.5, 0.5)
    fill_value: float = Field(0.0, ge=0.0, le=255.0)


class AugmentationOptions(Options):
    """What happens to a training image, in this order; see `kerasnets.data.images.per_image` for each step.

    `antialias` shrinks training crops by averaging and lets a JPEG decoder do the coarse part of it; `false` samples
    them, a little faster and harsher.
    At most one of `random_resized_crop` and `scale_jitter` places the crop. `mixup` and `cutmix` are the alpha of the
    Beta distribution; with both, each batch takes one of the two with equal chance. Either makes labels float32 [B,
    classes]. With `repeats` an epoch takes so many copies, each augmented by itself, of fewer images (Hoffer et al.
    2020).
    """

    random_resized_crop: RandomResizedCrop | None = None
    antialias: bool = True
    scale_jitter: tuple[int, int] | None = None
    pad_and_crop: PadAndCrop | None = None
    random_flip: Literal["horizontal", "vertical", "both"] | None = None
    affine: Affine | None = None
    color_jitter: ColorJitter | None = None
    pca_lighting: float = Field(0.0, ge=0.0)
    rand_augment: RandAugment | None = None
    random_cutout: RandomCutout | None = None
    mixup: float = Field(0.0, ge=0.0)
    cutmix: float = Field(0.0, ge=0.0)
    repeats: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _check(self):
        if self.random_resized_crop and self.scale_jitter:
            raise ValueError("`random_resized_crop` and `scale_jitter` both place the crop: give one of them.")
        if self.scale_jitter and not 1 <= self.scale_jitter[0] <= self.scale_jitter[1]:
            raise ValueError(f"`scale_jitter` goes from low to high. Received: scale_jitter={self.scale_jitter}")
        return self


class DataOptions(Options):
    """All about data that decides a result; `size`, `crop_fraction` and `interpolation` override the network's.

    `evaluation_split` is what the finished network is scored on. The best epoch is chosen on `validation_split`, or on
    `validation_fraction` of the training images, of each class the same, which are then not trained on.

    `cache: memory` reads every file once, before the first step, and keeps it as it is. With `class_balanced` every
    class comes equally often in training (Shen, Lin and Huang 2015); a stream needs `cache: memory` for it.
    """

    source: SourceOptions
    train_split: str = "train"
    validation_split: str | None = None
    validation_fraction: float | None = Field(None, gt=0.0, lt=1.0)
    evaluation_split: str = "test"
    augmentation: AugmentationOptions = AugmentationOptions()
    size: int | None = Field(None, ge=1)
    crop_fraction: float | None = Field(None, gt=0.0, le=1.0)
    interpolation: Literal["nearest", "bilinear", "bicubic", "area", "lanczos3"] | None = None
    cache: Literal["none", "memory"] = "none"
    class_balanced: bool = False
    bad_image_limit: Share = 0.01

    @model_validator(mode="after")
    def _labels_known(self):
        if self.class_balanced and self.source.kind in ("tfds", "tfrecord") and self.cache != "memory":
            raise ValueError(
                "`class_balanced` needs the labels beforehand; set data.cache to memory for tfds and tfrecord. "
                f"Received: kind={self.source.kind!r}, cache={self.cache!r}"
            )
        return self

    @model_validator(mode="after")
    def _one_validation(self):
        if self.validation_split and self.validation_fraction:
            raise ValueError("`validation_split` and `validation_fraction` both choose the epoch: give one of them.")
        return self
