"""The models: one file per paper."""

from deeplab.models._base import SegmentationModel, create_model

__all__ = ["SegmentationModel", "create_model"]
