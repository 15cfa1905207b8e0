"""What the report draws: bars, differences with their intervals, gains query by query, and training curves."""

from rankstill.report.figures.bars import Bar, bars
from rankstill.report.figures.curves import Curve, curves
from rankstill.report.figures.differences import Difference, differences
from rankstill.report.figures.gains import Gain, gains

__all__ = ["Bar", "Curve", "Difference", "Gain", "bars", "curves", "differences", "gains"]
