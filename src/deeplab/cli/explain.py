"""`deeplab explain MODEL IMAGE`"""

from __future__ import annotations

from deeplab import api
from deeplab.cli._options import Json
from deeplab.cli._terminal import print_json
from deeplab.settings import ExplainSettings


def explain(settings: ExplainSettings, *, json: Json = False) -> None:
    """Show what speaks for each class, and how sure the model is."""
    explanation = api.explain(**settings.as_dict())
    segmentation = explanation.segmentation
    figures: dict[str, dict[str, float | None]] = {}
    for name, share in segmentation.areas().items():
        mask = segmentation.mask(name)
        unsure, other = (float(each[mask].mean()) for each in (explanation.entropy, explanation.disagreement))
        print(f"{name}\t{share:.1%}\tentropy {unsure:.3f}\tother class in changed views {other:.1%}")
        figures[name] = {"share": share, "entropy": unsure, "disagreement": other}
    for name in explanation.activations:
        if name not in figures:  # asked for by --show
            print(f"{name}\tnot found")
            figures[name] = {"share": 0.0, "entropy": None, "disagreement": None}
    page = settings.output / f"{settings.image.stem}.html"
    print(f"the page is {page}; the pictures lie beside it")
    if json:
        print_json({"classes": figures, "page": str(page)})
