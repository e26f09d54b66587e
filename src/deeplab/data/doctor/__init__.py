"""Examining a data set before anybody trains on it: what is wrong, with which files, why it matters, the way out."""

from deeplab.data.doctor.diagnosis import Case, Diagnosis, Finding
from deeplab.data.doctor.examine import examine
from deeplab.data.doctor.kinds import KINDS

__all__ = ["KINDS", "Case", "Diagnosis", "Finding", "examine"]
