"""The families, one line each: importing this file registers every row."""

from kerasnets.architectures import lenet, resnet

FAMILIES = (
    lenet,
    resnet,
)
