"""Numbers about annotations, from plain values to `Estimate`.

Knows nothing of files, networks or engines. Whatever gives answers is measured alike: a model, a student, a person.
"""

from postil.assess.agreement import cohen_kappa, krippendorff_alpha
from postil.assess.assessment import assess
from postil.assess.comparison import compare
from postil.assess.intervals import Resampling

__all__ = ["Resampling", "assess", "cohen_kappa", "compare", "krippendorff_alpha"]
