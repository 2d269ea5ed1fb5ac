"""The pooling that a network has."""

from torch import nn

from longtail.network.pooling.bilinear import Bilinear
from longtail.network.pooling.kernel import CompactBilinear, Kernel
from longtail.network.pooling.layer import MapPooling
from longtail.network.pooling.params import AverageParams, BilinearParams, CompactBilinearParams, PoolingParams


def build_pooling(params: PoolingParams, channels: int) -> tuple[nn.Module, int]:
    """The layer on what a backbone gives, maps of so many channels or what it has pooled itself, and its length."""
    if isinstance(params, AverageParams):
        return nn.Identity(), channels
    layer: MapPooling
    if isinstance(params, BilinearParams):
        layer = Bilinear(channels)
    elif isinstance(params, CompactBilinearParams):
        layer = CompactBilinear(channels, params.dimension, params.seed)
    else:
        learned = params.coefficients == "learned"
        layer = Kernel(channels, params.order, params.dimension, params.seed, gamma=params.gamma, learned=learned)
    return layer, layer.length
