"""All files of the contract for one set of estimates, written together or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from buurtsae.estimates.quality import Gate, quality
from buurtsae.estimates.summary import Estimates, level_draws
from buurtsae.publish.about import About, moment, notice
from buurtsae.publish.content import Content
from buurtsae.publish.datapackage import datapackage
from buurtsae.publish.layouts import write_layouts
from buurtsae.publish.manifest import Provenance, manifest, versions
from buurtsae.publish.method import Statement
from buurtsae.publish.outlines import outlines
from buurtsae.publish.report import write_quality
from buurtsae.publish.site import write_site
from buurtsae.publish.staging import staged
from buurtsae.publish.tables import write_tables

JSON = {"ensure_ascii": False, "indent": 1, "allow_nan": False}


def publish(
    est: Estimates,
    to: str | Path,
    *,
    gate: Gate | None = None,
    provenance: Provenance | None = None,
    draws: int = 1000,
    scales: Sequence[Mapping[str, Any]] = (),
    weights: bool = False,
) -> dict[str, Any]:
    """Write tables in all layouts, draws, quality report, dashboard, data package and manifest.

    Parameters
    ----------
    est : Estimates
    to : path
        Folder for the results, made if need be; files of an earlier run are replaced, the manifest last.
    gate : Gate, optional
        Thresholds; when they are not met everything is still written, marked as draft.
    provenance : Provenance, optional
        Title, inputs, settings and timings for the manifest.
    draws : int
        At most this many joint draws are kept in `draws.nc`, evenly spaced.
    scales : sequence of mapping, optional
        Reliability of the scales, for the quality report.
    weights : bool
        Show in the quality report how ranks and labels move under other weights of the concept.

    Returns
    -------
    dict
        The quality report; ``["gate"]["passed"]`` says whether the figures may be published.
    """
    provenance = provenance or Provenance()
    run_id = str(est.table["run_id"].iloc[0])
    run = {
        **{"run_id": run_id, "title": provenance.title, "created": provenance.created},
        **{"fictitious": est.fictitious, "notice": notice(est.fictitious), "versions": versions()},
    }
    report = quality(est, gate, run=run, scales=scales, weights=weights)
    draft = not report["gate"]["passed"]
    about = About(provenance.title, run_id, moment(provenance.created), draft, est.fictitious)
    labels = {m: est.concept.nodes[m].nl for m in est.measures}
    with staged(to) as folder:
        write_tables(est.published, est.areas.frame, folder, about.notice)
        est.supplement.to_csv(folder / "supplement.csv", index=False, encoding="utf-8", lineterminator="\n")
        write_layouts(est.published, est.areas, est.concept, folder, about)
        _write_draws(est, folder / "draws.nc", draws)
        write_quality(report, folder, outlines(est.areas.frame))
        page: dict[str, Any] = {k: v for k, v in run.items() if k != "versions"} | {"draft": draft}
        write_site(Content.of(est, page), folder, Statement.of(report, provenance, est.rules))
        package = datapackage(
            folder,
            title=provenance.title,
            created=provenance.created,
            run_id=run_id,
            measures=labels,
            fictitious=est.fictitious,
        )
        _write_json(folder / "datapackage.json", package)
        _write_json(folder / "manifest.json", manifest(report, provenance, folder))
    return report


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, **JSON) + "\n", encoding="utf-8", newline="\n")  # type: ignore[arg-type]


def _write_draws(est: Estimates, path: Path, most: int) -> None:
    """Write joint draws of all levels, float32, dims (draw, area, measure); what is not published is missing."""
    import xarray as xr

    total = len(est.draws.flat)
    kept = np.linspace(0, total - 1, min(most, total)).round().astype(int)
    codes = est.table[["level", "area_code"]].drop_duplicates()
    position = {key: i for i, key in enumerate(codes.itertuples(index=False, name=None))}
    values = np.full((len(kept), len(codes), len(est.measures)), np.nan, dtype=np.float32)
    for measure, level, labels, drawn in level_draws(est.fit, est.concept, est.draws):
        values[:, [position[level, c] for c in labels], est.measures.index(measure)] = drawn[kept]
    hidden = est.table[est.table["label"] == "niet_publiceren"]
    for row in hidden[["level", "area_code", "measure"]].itertuples(index=False):
        values[:, position[row.level, row.area_code], est.measures.index(row.measure)] = np.nan
    data = xr.Dataset(
        {"score": (("draw", "area", "measure"), values, {"units": "score 0-10"})},
        coords={
            "area": codes["area_code"].astype(str).to_numpy(dtype=object),
            "level": ("area", codes["level"].astype(str).to_numpy(dtype=object)),
            "measure": np.array(est.measures, dtype=object),
        },
        attrs={
            "run_id": str(est.table["run_id"].iloc[0]),
            "code_year": est.areas.year,
            **({"notice": notice(True)} if est.fictitious else {}),
        },
    )
    data.to_netcdf(path, engine="h5netcdf", encoding={"score": {"zlib": True, "complevel": 4}})
