"""The families, one line each: importing this file registers every row."""

from kerasnets.architectures import (
    alexnet,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nin,
    resnet,
    squeezenet,
    vgg,
    zfnet,
)

FAMILIES = (
    alexnet,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nin,
    resnet,
    squeezenet,
    vgg,
    zfnet,
)
