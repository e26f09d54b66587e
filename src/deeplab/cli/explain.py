"""`deeplab explain MODEL IMAGE`"""

from __future__ import annotations

from deeplab import api
from deeplab.settings import ExplainSettings


def explain(settings: ExplainSettings) -> None:
    """Show what speaks for each class, and how sure the model is."""
    explanation = api.explain(**settings.as_dict())
    segmentation = explanation.segmentation
    for name, share in segmentation.areas().items():
        mask = segmentation.mask(name)
        unsure, other = explanation.entropy[mask].mean(), explanation.disagreement[mask].mean()
        print(f"{name}\t{share:.1%}\tentropy {unsure:.3f}\tother class in changed views {other:.1%}")
    print(f"the page is {settings.output / settings.image.stem}.html; the pictures lie beside it")
