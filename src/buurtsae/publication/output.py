"""All files of the contract for one set of estimates, written together or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from buurtsae.areas.codes import CBS
from buurtsae.errors import DataError
from buurtsae.estimates.evidence.gate import Gate
from buurtsae.estimates.evidence.quality import quality
from buurtsae.estimates.nonresponse import NonResponse
from buurtsae.estimates.summary import Estimates, level_draws
from buurtsae.estimates.waves import Waves
from buurtsae.folder.target import Target, claimed, staged
from buurtsae.origin import notice
from buurtsae.publication import method_years
from buurtsae.publication.about import About, moment
from buurtsae.publication.content import Content
from buurtsae.publication.datapackage import datapackage
from buurtsae.publication.layouts import write_layouts
from buurtsae.publication.manifest import Provenance, manifest, versions
from buurtsae.publication.method import Statement
from buurtsae.publication.outlines import outlines
from buurtsae.publication.report import write_quality
from buurtsae.publication.site import write_site
from buurtsae.publication.tables import write_changes, write_groups, write_tables, write_trends
from buurtsae.schemas import records
from buurtsae.sparse import Ints
from buurtsae.tables import write_csv

FILES = (  # patterns of all that is written
    *("estimates.parquet", "estimates.csv", "estimates.geoparquet", "estimates_nl.csv", "estimates.xlsx"),
    *("estimates.gpkg", "statline.csv", "statline_measures.csv", "statline_regions.csv", "swing.csv", "supplement.csv"),
    *(
        "groups.parquet",
        "groups.csv",
        "changes.parquet",
        "changes.csv",
        "trends.csv",
        "draws.nc",
        "quality.json",
        "quality.html",
        "contract.schema.json",
        "datapackage.json",
        "manifest.json",
    ),
    *("dashboard/index.html", "dashboard/verantwoording.html", "dashboard/gemeente/GM*.html"),
    *("dashboard/buurt/BU*.html", "json/GM*.json"),
)
JSON = {"ensure_ascii": False, "indent": 1, "allow_nan": False}


def publish(
    est: Estimates | Waves,
    to: str | Path | Target,
    *,
    gate: Gate | None = None,
    provenance: Provenance | None = None,
    draws: int = 1000,
    scales: Sequence[Mapping[str, Any]] = (),
    weights: bool = False,
    assumed: NonResponse | None = None,
    responses: Sequence[float | None] = (),
    groups: pd.DataFrame | None = None,
    trends: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Write tables in all layouts, draws, quality report, dashboard, data package and manifest.

    Parameters
    ----------
    est : Estimates or Waves
        Of one period or of several years: then changes are written too.
    to : path
        Folder for the results, made if need be, or one that is claimed already; files of an earlier run are replaced or
        removed, others are never touched.
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
    assumed : NonResponse, optional
        Show there, and in the method statement, how figures move if those who did not answer score otherwise.
    responses : sequence of float or None, optional
        Share of the sample that answered, of each source.
    groups : DataFrame, optional
        Published figures of groups of residents, the table of `estimate_groups`.
    trends : DataFrame, optional
        Figures of every year with breaks in the series and without, the table of `trend`.

    Returns
    -------
    dict
        The quality report; ``["gate"]["passed"]`` says whether the figures may be published.

    Raises
    ------
    DataError
        If the areas are not those of CBS, respondents were not counted, or the folder cannot be used.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from buurtsae.runs.example import voorbeeldstad
    >>> with TemporaryDirectory() as to:
    ...     report = publish(voorbeeldstad(), to)
    ...     (Path(to) / "dashboard" / "index.html").is_file()
    True
    """
    every, est = est, est.current if isinstance(est, Waves) else est  # what is common to all years is that of one
    if est.areas.system != CBS:
        levels, hint = f"areas by {', '.join(est.areas.levels)}", "write `est.published` as a table"
        raise DataError("what is published is of buurten, wijken and gemeenten", levels, "codes of CBS", hint)
    if not est.fit.direct.counted:  # no rule on respondents can hide what rests on one of them
        hint = "DirectEstimates.from_table takes a table with `n_respondents`"
        raise DataError("what rests on an unknown number of people is not published", "no counts", "respondents", hint)
    provenance = provenance or Provenance()
    provenance = replace(provenance, title=provenance.title or est.concept.heading.nl)
    run_id = str(est.table["run_id"].iloc[0])
    page: dict[str, Any] = {
        **{"run_id": run_id, "title": provenance.title, "created": provenance.created},
        **{"fictitious": est.fictitious, "notice": notice(est.fictitious), "credit": provenance.credit},
    }
    labels = {measure: est.concept.nodes[measure].nl for measure in est.measures}
    with claimed(to, FILES) as target:
        run = page | {"versions": versions()}
        report = quality(every, gate, run=run, scales=scales, weights=weights, assumed=assumed, responses=responses)
        if trends is not None:
            whole = trends[(trends["level"] == est.areas.system.whole) & trends["reason"].isna()]
            report["trends"] = records(whole.drop(columns="reason").round(3))
        draft = not report["gate"]["passed"]
        about = About(provenance.title, run_id, moment(provenance.created), draft, est.fictitious, provenance.credit)
        with staged(target) as folder:
            write_tables(every.published, est.areas.frame, folder, about.notice, est.concept.span)
            write_csv(every.supplement, folder / "supplement.csv")
            if groups is not None:
                write_groups(groups, folder, about.notice, est.concept.span)
            if trends is not None:
                write_trends(trends, folder)
            if isinstance(every, Waves):
                write_changes(every.published_changes, folder, about.notice, est.concept.span)
            write_layouts(every.published, est.areas, est.concept, folder, about, *_of_years(every))
            _write_draws(every, folder / "draws.nc", draws)
            write_quality(report, folder, outlines(est.areas.frame))
            shares = any(est.concept.outcome_of(measure) == "share" for measure in est.measures)
            of_years = method_years.of_years(every) if isinstance(every, Waves) else ()
            statement = Statement.of(report, provenance, est.rules, shares, of_years)
            write_site(Content.of(every, page | {"draft": draft}, groups), folder, statement)
            package = datapackage(
                folder,
                title=provenance.title,
                created=provenance.created,
                run_id=run_id,
                measures=labels,
                source=about.source,
                notice=about.notice,
                scale=est.concept.span,
                of=est.concept.heading,
                open_data=statement.open_data,
            )
            _write_json(folder / "datapackage.json", package)
            _write_json(folder / "manifest.json", manifest(report, provenance, folder))
    return report


def _of_years(every: Estimates | Waves) -> tuple[pd.DataFrame, int] | tuple[()]:
    """The changes between several years, and the year that maps open with."""
    return (every.published_changes, every.current_year) if isinstance(every, Waves) else ()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, **JSON) + "\n", encoding="utf-8", newline="\n")  # type: ignore[arg-type]


def _write_draws(every: Estimates | Waves, path: Path, most: int) -> None:
    """Write joint draws of all levels as shown, float32, dims (draw, area, measure), of several years (draw, area,
    measure, year); what is not published is missing.

    The file is made in memory: HDF5 that meets a full disk ends the whole process when it closes the file.
    """
    import h5netcdf
    import h5py

    of = every.of if isinstance(every, Waves) else {0: every}
    est, total = next(iter(of.values())), len(next(iter(of.values())).draws.flat)
    kept = np.linspace(0, total - 1, min(most, total)).round().astype(int)
    codes = pd.concat([one.table[["level", "area_code"]] for one in of.values()]).drop_duplicates()
    parts = [_shown_draws(one, kept, codes) for one in of.values()]
    several = isinstance(every, Waves)
    values = np.stack(parts, axis=-1) if several else parts[0]
    dims = ("draw", "area", "measure", *(["year"] if several else []))
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        file.dimensions = dict(zip(dims, values.shape, strict=True))
        file.attrs.update({"run_id": str(est.table["run_id"].iloc[0]), "code_year": est.areas.year})
        file.attrs.update({"notice": notice(True)} if est.fictitious else {})
        labelled = {"area": codes["area_code"], "level": codes["level"], "measure": est.measures}
        for name, labels in labelled.items():
            dim = ("measure",) if name == "measure" else ("area",)
            file.create_variable(name, dim, h5py.string_dtype())[:] = np.array(list(map(str, labels)), dtype=object)
        if isinstance(every, Waves):
            file.create_variable("year", ("year",), data=np.array(every.years))
        packing = {"fillvalue": np.float32("nan"), "compression": "gzip", "compression_opts": 4, "shuffle": True}
        score = file.create_variable("score", dims, data=values, **packing)
        score.attrs.update({"units": str(est.concept.span.label), "coordinates": "level"})
    path.write_bytes(buffer.getbuffer())


def _shown_draws(est: Estimates, kept: Ints, codes: pd.DataFrame) -> NDArray[np.float32]:
    """Draws of one year, (draws, areas, measures), missing where they are not published."""
    position = {key: row for row, key in enumerate(codes.itertuples(index=False, name=None))}
    column = {measure: k for k, measure in enumerate(est.measures)}
    values = np.full((len(kept), len(codes), len(column)), np.nan, dtype=np.float32)
    for measure, level, labels, drawn in level_draws(est.fit, est.concept, est.draws):
        shown = est.concept.scale_of(measure).shown(drawn[kept])
        values[:, [position[level, code] for code in labels], column[measure]] = shown
    hidden = est.table.loc[est.table["label"] == "niet_publiceren", ["level", "area_code", "measure"]]
    for level, code, measure in hidden.itertuples(index=False, name=None):
        values[:, position[level, code], column[measure]] = np.nan
    return values
