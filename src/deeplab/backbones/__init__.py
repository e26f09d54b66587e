"""The backbones: one file each, every one with Features res2 .. res5 at any output stride."""

from deeplab.backbones._base import Backbone, Features, create_backbone

__all__ = ["Backbone", "Features", "create_backbone"]
