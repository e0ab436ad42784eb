"""Encoders, heads and the projector: `models.create("tdnn", input_shape=(40, 80), embedding_dim=32)`."""

from xmkd_lib.models.heads import AAMHead, LinearHead
from xmkd_lib.models.network import Network, count_parameters
from xmkd_lib.models.registry import create, names, registry
from xmkd_lib.models.resnet import ResNet
from xmkd_lib.models.tdnn import TDNN

__all__ = ["TDNN", "AAMHead", "LinearHead", "Network", "ResNet", "count_parameters", "create", "names", "registry"]
