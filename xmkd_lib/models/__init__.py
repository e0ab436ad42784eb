"""Encoders, heads and the projector: `models.create("tdnn", input_shape=(40, 80), embedding_dim=32)`."""

from xmkd_lib.models.ecapa import ECAPA
from xmkd_lib.models.heads import AAMHead, LinearHead
from xmkd_lib.models.network import Network, count_parameters
from xmkd_lib.models.registry import create, names, registry
from xmkd_lib.models.resnet import ResNet
from xmkd_lib.models.tdnn import TDNN
from xmkd_lib.models.text import NgramText, TransformerText

__all__ = [
    "ECAPA",
    "TDNN",
    "AAMHead",
    "LinearHead",
    "Network",
    "NgramText",
    "ResNet",
    "TransformerText",
    "count_parameters",
    "create",
    "names",
    "registry",
]
