"""Training losses over logits (N, num_classes, H, W), or over coarse ones in their place."""

from deeplab.losses.cross_entropy import cross_entropy
from deeplab.losses.dice import dice
from deeplab.losses.distillation import distillation
from deeplab.losses.focal import focal
from deeplab.losses.lovasz import lovasz
from deeplab.losses.upsampled import Upsampled, full_size
from deeplab.losses.weighted_sum import weighted_sum

__all__ = ["Upsampled", "cross_entropy", "dice", "distillation", "focal", "full_size", "lovasz", "weighted_sum"]
