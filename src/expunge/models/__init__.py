"""Networks: one small class a family, which builds torch modules for any inputs and number of classes."""

from expunge.models.base import Architecture, initialised
from expunge.models.cnn import Cnn
from expunge.models.convolutional import Torchvision, Vgg11
from expunge.models.feature_maps import activation_maps
from expunge.models.head import head_inputs, identity_head
from expunge.models.plain import Mlp, Softmax
from expunge.models.text_transformer import TextTransformer
from expunge.models.timm_networks import Timm
from expunge.models.transformer import Vit
from expunge.models.vggface import VggFace
from expunge.models.weights import load_weights

__all__ = [
    "Architecture",
    "Cnn",
    "Mlp",
    "Softmax",
    "TextTransformer",
    "Timm",
    "Torchvision",
    "Vgg11",
    "VggFace",
    "Vit",
    "activation_maps",
    "head_inputs",
    "identity_head",
    "initialised",
    "load_weights",
]
