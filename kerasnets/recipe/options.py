"""What all option classes of a recipe share: the strict base class and the ranges of numbers."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
PositiveShare = Annotated[float, Field(gt=0.0, le=1.0)]
Length = Annotated[int, Field(ge=1, le=4096)]


class Options(BaseModel):
    """A block of a recipe. It refuses unknown keys, NaN and infinite numbers, and cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _finite(value):
    """Returns `value`, whose numbers are all finite, at any depth of its dictionaries and lists."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should hold finite numbers only")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _finite(item)
    return value


# Arguments of a function, which that function checks; only NaN and infinite numbers are refused here.
Arguments = Annotated[dict[str, Any], AfterValidator(_finite)]
