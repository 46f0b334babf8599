"""The published estimates in the layouts of the programs that they go to: Excel, GIS, StatLine, Swing.

All hold the figures of `estimates.csv`, none has others. See docs/files.md.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from buurtsae.areas.areas import Areas
from buurtsae.publication.about import About
from buurtsae.publication.contract import write_contract
from buurtsae.publication.excel_csv import write_excel_csv
from buurtsae.publication.geopackage import write_geopackage
from buurtsae.publication.regions import regions
from buurtsae.publication.statline import write_statline
from buurtsae.publication.swing import write_swing
from buurtsae.publication.workbook import write_workbook
from buurtsae.survey.concept import Concept


def write_layouts(
    table: pd.DataFrame,
    areas: Areas,
    concept: Concept,
    folder: Path,
    about: About,
    changes: pd.DataFrame | None = None,
    opens: int | None = None,
) -> None:
    """Write all further layouts of the published table, and its contract; `areas` without an estimate are in some.

    Where there are several years `changes` are between them, and `opens` is the one that maps are of, by default the
    last.
    """
    measures = [name for name in concept.measures if name in set(table["measure"])]
    nodes = {
        name: (concept.nodes[name].nl, concept.nodes[name].about, concept.scale_of(name).label.nl) for name in measures
    }
    places = regions(table, areas)
    write_excel_csv(table, folder)
    write_workbook(table, nodes, folder, about, concept.span, changes)
    write_geopackage(table, areas, measures, folder, about.created, about.notice, changes, opens)
    write_statline(table, places, concept, folder, about.notice)
    write_swing(table, places, measures, folder)
    write_contract(folder, concept.span)
