"""What a notebook shows of areas, a model, a fit and estimates."""

from __future__ import annotations

from dataclasses import replace

from made_fit import made_fit

from buurtsae.estimates.summary import estimate


def test_views_have_the_figures_and_nothing_that_runs() -> None:
    fit = made_fit().fit
    frame = fit.areas.frame.copy()
    areas = replace(fit.areas, frame=frame, notes=("<script>alert(1)</script>",))
    views = [x._repr_html_() for x in (areas, fit.model, fit, estimate(fit))]
    assert not any("<script" in v for v in views)
    seen_areas, model, fitted, estimates = views
    assert "&lt;script&gt;" in seen_areas
    for level in areas.levels:
        assert f"<td>{level}</td>" in seen_areas
    assert str(int(frame.loc[areas.inhabited, areas.covariates[0]].isna().sum())) in seen_areas
    assert model.startswith("<pre>Area-level model")
    assert "check()" in fitted
    assert all(d in estimates for d in ("Omgang en relaties", "betrouwbaar"))
