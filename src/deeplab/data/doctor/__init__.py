"""Examining a data set before anybody trains on it: what is wrong, with which files, why it matters, the way out."""

from deeplab.data.doctor.diagnosis import Case, Diagnosis, Finding, Repair
from deeplab.data.doctor.examination import examine
from deeplab.data.doctor.kinds import KINDS
from deeplab.data.doctor.repairs import check_place, repair, repair_hint
from deeplab.data.doctor.report import write_page

__all__ = [
    "KINDS",
    "Case",
    "Diagnosis",
    "Finding",
    "Repair",
    "check_place",
    "examine",
    "repair",
    "repair_hint",
    "write_page",
]
