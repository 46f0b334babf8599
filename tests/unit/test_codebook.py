"""Codebooks: the package's own, a user's own, and every contradiction refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from buurtsae.errors import DataError, ProblemsError
from buurtsae.survey.codebook import Codebook, Indicator, available
from buurtsae.survey.concept import Concept

SOCIAL = ("omgang_en_relaties", "participatie")
SPATIAL = ("plaatsidentiteit", "plaatsgeschiktheid")
# The report's table "Sources, and which sub-dimension each one informs" (TNO/RIVM, Gezonde Leefomgeving), row by row:
# the kind, and the columns that are filled in. Two remarks. The table leaves participation empty for the
# Veiligheidsmonitor, whose questionnaire does ask about activity for the buurt; the codebook has that scale because the
# made example uses it. The table calls kwb "covariates of all".
TABLE = {
    "ssw": ("survey", SOCIAL),
    "ski": ("survey", SOCIAL),
    "veiligheidsmonitor": ("survey", ("omgang_en_relaties", *SPATIAL)),
    "rijksmonumenten": ("objective", ("plaatsidentiteit",)),
    "leefbaarometer": ("objective", (*SOCIAL, *SPATIAL)),
    "woon": ("survey", (*SOCIAL, *SPATIAL)),
    "burgerpeiling": ("survey", (*SOCIAL, *SPATIAL)),
    "leefplekmeter": ("participatory", (*SOCIAL, *SPATIAL)),
    "place_attachment_scale": ("survey", SPATIAL),
    "lokaal": ("survey", (*SOCIAL, "plaatsidentiteit")),
    "lemon": ("survey", (*SOCIAL, *SPATIAL)),
    "osm": ("objective", SPATIAL),
    "kwb": ("objective", (*SOCIAL, *SPATIAL)),
}
BEYOND_THE_TABLE = {"veiligheidsmonitor": ("participatie",)}

GOOD = """\
# A source of one's own.
id = "eigen"
nl = "Eigen onderzoek"
kind = "survey"
level = "wijk"
references = ["een rapport"]
missing = [9]
min_share_answered = 0.5

[[scale]]
id = "meedoen"
subdimension = "participatie"
answers = { 1 = "nooit", 2 = "soms", 3 = "vaak" }
worst = 1
best = 3
items = [{ name = "doet_mee" }, { name = "blijft_thuis", worst = 3, best = 1, about = "omgekeerd" }]

[[scale]]  # marks
id = "cijfers"
nl = "Rapportcijfers"
subdimension = "plaatsgeschiktheid"
answers = { from = 1, to = 8, lowest = "slecht", highest = "goed" }
worst = 1
best = 8
min_share_answered = 1.0
items = [
  # name = "no item, but a comment"
  { name = "groen", about = "groen" },
  { name = "winkels" },
]
"""
REGISTER = """\
id = "register"
nl = "Eigen register"
kind = "objective"
level = "buurt"
references = ["een rapport"]

[[indicator]]
name = "bomen"
unit = "per km2"
informs = ["plaatsgeschiktheid"]
columns = ["bomen_per_km2"]
transform = "log1p"

[[indicator]]
name = "pct_herkomst"
unit = "%"
informs = ["plaatsgeschiktheid", "participatie"]
columns = ["herkomst"]
sensitive = true
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "eigen.toml"
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def problems_of(tmp_path: Path, text: str) -> list[DataError]:
    with pytest.raises((DataError, ProblemsError)) as raised:
        Codebook.load(written(tmp_path, text))
    return list(getattr(raised.value, "problems", (raised.value,)))


# --- the package's own


def test_all_sources_of_the_report_have_a_codebook_and_three_registers_besides() -> None:
    assert set(available()) == {*TABLE, "rivm_gezondheid", "misdrijven", "nabijheid"}


@pytest.mark.parametrize("source", TABLE)
def test_a_source_informs_what_the_report_says(source: str) -> None:
    book = Codebook.load(source)
    kind, informs = TABLE[source]
    assert book.kind == kind
    assert set(book.subdimensions) == {*informs, *BEYOND_THE_TABLE.get(source, ())}


@pytest.mark.parametrize("source", available())
def test_a_codebook_of_the_package_is_complete(source: str) -> None:
    book = Codebook.load(source)
    assert book.id == source
    for key in ("nl", "en", "about", "owner", "mode", "period", "licence"):
        assert len(getattr(book, key)) > 2, key
    assert set(book.subdimensions) <= set(Concept.load().subdimensions)
    assert all(s.nl and s.id for s in book.scales)
    assert all(len(i.about) > 3 for i in book.items)
    assert all(i.nl and i.unit and i.en and i.unit_en and i.theme for i in book.indicators)
    assert all(i.informs or i.aside for i in book.indicators)
    # a sub-dimension that a respondent can be scored on needs a rule for missing items; a register has no respondents
    assert bool(book.scales) == (book.kind != "objective")
    assert bool(book.indicators) == (book.kind == "objective")


def test_modelled_sources_warn_of_circularity() -> None:
    modelled = [b for b in map(Codebook.load, available()) if b.modelled]
    assert [b.id for b in modelled] == ["leefbaarometer", "rivm_gezondheid"]
    for book in modelled:
        assert "geen onafhankelijk bewijs" in book.about
        assert all(i.modelled for i in book.indicators)
    assert not any(i.modelled for i in Codebook.load("kwb").indicators)


def test_figures_on_origin_are_sensitive_and_no_others() -> None:
    words = ("herkomst", "migratie", "nationaliteit")
    for book in map(Codebook.load, available()):
        for i in book.indicators:
            assert i.sensitive == any(word in f"{i.name} {' '.join(i.columns)}" for word in words), i.name


def test_no_column_means_two_things() -> None:
    # the covariates of a run are looked up by column name over all codebooks
    figures = [i for s in available() for i in Codebook.load(s).indicators]
    names = [name for i in figures for name in {n.lower() for n in (i.name, *i.columns)}]
    assert len(names) == len(set(names)) > 60


def test_buurtcohesie_has_its_eight_items_one_reversed() -> None:
    # short names and the reversed item as in the Veiligheidsmonitor's scale buurtcohesie
    (scale,) = Codebook.load("veiligheidsmonitor").scales_of("omgang_en_relaties")
    assert scale.id == "buurtcohesie"
    assert [i.name for i in scale.items] == [
        "kennen_elkaar_nauwelijks",
        "prettige_omgang",
        "gezellig_helpen",
        "thuis_voelen",
        "veel_contact",
        "tevreden_samenstelling",
        "huissleutel_toevertrouwen",
        "aanspreken_op_gedrag",
    ]
    assert [i.best < i.worst for i in scale.items] == [False] + [True] * 7


def test_place_attachment_has_two_factors_of_four_with_answers_1_to_4() -> None:
    scales = Codebook.load("place_attachment_scale").scales
    assert [(s.id, s.subdimension, len(s.items)) for s in scales] == [
        ("place_identity", "plaatsidentiteit", 4),
        ("place_dependence", "plaatsgeschiktheid", 4),
    ]
    assert {(i.codes, i.worst, i.best) for s in scales for i in s.items} == {((1, 2, 3, 4), 1, 4)}


def test_leefplekmeter_has_fourteen_themes_scored_1_to_10() -> None:
    items = Codebook.load("leefplekmeter").items
    assert len(items) == 14  # Pharos: veertien thema's
    assert {(i.codes, i.worst, i.best) for i in items} == {(tuple(range(1, 11)), 1, 10)}


def test_loneliness_is_reversed() -> None:
    scale = next(s for s in Codebook.load("ssw").scales if s.id == "eenzaamheid")
    yes = {i.name: 10 * (1 - i.worst) / (i.best - i.worst) for i in scale.items}  # the score of the answer 'ja'
    assert yes["leegte"] == yes["mist_mensen"] == yes["in_de_steek_gelaten"] == 0
    assert yes["mensen_bij_tegenslag"] == yes["mensen_te_vertrouwen"] == yes["mensen_nabij"] == 10


@pytest.mark.parametrize(
    ("source", "turned"),
    [("woon", {"wil_verhuizen": (4, 1), "overlast_buren": (1, 3)}), ("lemon", {"vervuiling": (1, 10)})],
)
def test_what_is_bad_scores_low(source: str, turned: dict[str, tuple[int, int]]) -> None:
    ends = {i.name: (i.worst, i.best) for i in Codebook.load(source).items}
    assert {name: ends[name] for name in turned} == turned


# --- a user's own


def test_a_codebook_of_your_own(tmp_path: Path) -> None:
    book = Codebook.load(written(tmp_path, GOOD))
    assert (book.id, book.kind, book.level, book.missing) == ("eigen", "survey", "wijk", (9,))
    assert book.subdimensions == ("participatie", "plaatsgeschiktheid")
    first, second = book.of("participatie")
    assert (first.name, first.worst, first.best, first.codes, first.scale) == ("doet_mee", 1, 3, (1, 2, 3), "meedoen")
    assert (second.name, second.worst, second.best, second.about) == ("blijft_thuis", 3, 1, "omgekeerd")
    assert book.of("plaatsidentiteit") == ()
    assert book.scales_of("plaatsidentiteit") == ()


def test_scales_have_their_own_rule_for_missing_items_or_that_of_the_source(tmp_path: Path) -> None:
    book = Codebook.load(written(tmp_path, GOOD))
    assert book.min_share_answered == 0.5
    assert [s.min_share_answered for s in book.scales] == [0.5, 1.0]


def test_a_range_of_answers_has_labels_at_its_ends(tmp_path: Path) -> None:
    (scale,) = Codebook.load(written(tmp_path, GOOD)).scales_of("plaatsgeschiktheid")
    assert scale.answers == {1: "slecht", 2: "", 3: "", 4: "", 5: "", 6: "", 7: "", 8: "goed"}
    assert scale.items[0].codes == (1, 2, 3, 4, 5, 6, 7, 8)
    bare = GOOD.replace(', lowest = "slecht", highest = "goed"', "")
    assert [s.labels for s in Codebook.load(written(tmp_path, bare)).scales] == ["1 nooit; 2 soms; 3 vaak", "1 to 8"]


def test_a_register_of_your_own(tmp_path: Path) -> None:
    book = Codebook.load(written(tmp_path, REGISTER))
    assert book.indicators == (
        Indicator("bomen", "", ("plaatsgeschiktheid",), "per km2", ("bomen_per_km2",), transform="log1p"),
        Indicator("pct_herkomst", "", ("plaatsgeschiktheid", "participatie"), "%", ("herkomst",), sensitive=True),
    )
    assert book.subdimensions == ("plaatsgeschiktheid", "participatie")
    assert book.items == ()


def test_a_number_that_others_are_made_of_informs_nothing_by_itself(tmp_path: Path) -> None:
    text = REGISTER.replace('["plaatsgeschiktheid"]', '[]\naside = true\ncode = "M1"\ntheme = "groen"')
    book = Codebook.load(written(tmp_path, text))
    assert (book.indicators[0].aside, book.indicators[0].informs, book.indicators[0].code) == (True, (), "M1")
    assert "bomen (bomen): nothing by itself" in str(book)
    assert "theme groen; transform log1p; aside" in str(book)
    assert "bomen_per_km2; code M1" in str(book)


def test_the_stable_codes_of_cbs() -> None:
    # open-data.md 1.2, and the excerpt of MeasureCodes in data/nl/examples
    codes = {i.name: i.code for i in Codebook.load("kwb").indicators if i.code}
    assert codes["inwoners"] == "T001036"
    assert codes["gem_woz_x1000eur"] == "M001642"
    assert len(set(codes.values())) == len(codes) == 15


def test_a_modelled_source_has_modelled_figures_unless_one_says_no(tmp_path: Path) -> None:
    text = REGISTER.replace('level = "buurt"', 'level = "buurt"\nmodelled = true') + "modelled = false\n"
    book = Codebook.load(written(tmp_path, text))
    assert (book.modelled, [i.modelled for i in book.indicators]) == (True, [True, False])


def test_a_figure_is_found_under_any_of_its_names() -> None:
    kwb = {i.name: i for i in Codebook.load("kwb").indicators}
    # StatLine's number behind a topic changes with the edition: 2017 and 2024
    assert kwb["pct_koopwoningen"].found_in(["Koopwoningen_40", "HuurwoningenTotaal_41"]) == ("Koopwoningen_40",)
    assert kwb["pct_koopwoningen"].found_in(["Koopwoningen_47", "pct_koopwoningen"]) == (
        "pct_koopwoningen",
        "Koopwoningen_47",
    )
    assert kwb["pct_koopwoningen"].found_in(["Koopwoningen_oud", "xKoopwoningen"]) == ()


def test_a_codebook_in_words(tmp_path: Path) -> None:
    text = str(Codebook.load(written(tmp_path, GOOD)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "eigen: Eigen onderzoek"
    assert "scored when at least 50% of the items is answered" in lines
    assert "meedoen (meedoen): participatie" in lines
    assert "answers 1 nooit; 2 soms; 3 vaak (1 scores 0, 3 scores 10)" in lines
    assert "blijft_thuis omgekeerd (reversed: 3 scores 0, 1 scores 10)" in lines
    assert "answers 1 slecht; 8 goed (1 scores 0, 8 scores 10)" in lines
    assert "scored when at least 100% of the items is answered" in lines
    register = Codebook.load(written(tmp_path, REGISTER)).explained()
    assert "unit         %; transform none; sensitive" in register
    assert "pct_herkomst (pct_herkomst): plaatsgeschiktheid, participatie" in register


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("source", available())
def test_words_fit_the_screen(source: str, width: int) -> None:
    assert max(len(line) for line in Codebook.load(source).explained(width).splitlines()) <= width


# --- what is refused


def test_a_source_without_codebook_is_refused_with_the_choices() -> None:
    with pytest.raises(DataError) as raised:
        Codebook.load("woon2021")
    assert raised.value.what == "source 'woon2021' has no codebook"
    assert raised.value.expected == ", ".join(available())


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read|is no TOML"):
        Codebook.load(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes('id = "café"'.encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot be read|is no TOML"):
        Codebook.load(tmp_path / "latin.toml")


def test_what_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, GOOD.replace('id = "eigen"', 'id = "eigen'))
    assert problem.what.endswith("eigen.toml is no TOML")
    assert "line 2" in problem.got


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('kind = "survey"', 'kind = "enquete"', "line 4: unknown kind"),
        ('level = "wijk"', 'level = "straat"', "line 5: unknown level"),
        ('id = "eigen"', 'id = "Eigen Onderzoek"', "line 2: the identifier"),
        ('references = ["een rapport"]', "references = []", "line 6: no references"),
        ('references = ["een rapport"]', 'references = [" "]', "line 6: no references"),
        ("min_share_answered = 0.5", "min_share_answered = 0", "line 8: min_share_answered"),
        ("min_share_answered = 0.5", "min_share_answered = 1.5", "line 8: min_share_answered"),
        ("min_share_answered = 0.5\n", "", "line 1: key `min_share_answered` is absent"),
        ("min_share_answered = 1.0", "min_share_answered = -1", "line 25, scale cijfers: min_share_answered"),
        ("min_share_answered = 0.5", "min_share_answered = 0.5\nmininum = 3", "line 9: unknown key `mininum`"),
        ("best = 8\n", "best = 8\ntotaal = 3\n", "line 25, scale cijfers: unknown key `totaal`"),
        (
            '{ name = "winkels" }',
            '{ name = "winkels", omgekeerd = true }',
            "line 29, item winkels: unknown key `omgekeerd`",
        ),
        ("best = 3\n", "best = 4\n", "line 14, scale meedoen: worst and best are not the ends of the scale"),
        ("best = 3\n", "best = 1\n", "line 14, scale meedoen: worst and best are not the ends of the scale"),
        ("worst = 3,", "worst = 2,", "line 16, item blijft_thuis: worst and best are not the ends of the scale"),
        (
            '{ name = "groen",',
            '{ name = "groen", best = 1,',
            "line 28, item groen: worst and best are not the ends of the scale",
        ),
        ("missing = [9]", "missing = [3, 9]", "line 13, scale meedoen: a code is an answer and missing"),
        ("missing = [9]", "missing = [8, 9]", "line 22, scale cijfers: a code is an answer and missing"),
        ("blijft_thuis", "doet_mee", "line 16, item doet_mee: the item occurs twice"),
        ("winkels", "doet_mee", "line 29, item doet_mee: the item occurs twice"),
        ("winkels", "weight", "line 29, item weight: the name is taken"),
        ('id = "cijfers"', 'id = "meedoen"', "line 18, scale meedoen: the scale occurs twice"),
        (', 2 = "soms", 3 = "vaak"', "", "line 13, scale meedoen: the scale has no two answers"),
        ('{ 1 = "nooit", 2 = "soms", 3 = "vaak" }', "{}", "line 13, scale meedoen: the scale has no two answers"),
        ("from = 1, to = 8", "from = 8, to = 8", "line 22, scale cijfers: the scale has no two answers"),
    ],
)
def test_a_contradiction_is_refused_with_its_line(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert GOOD.count(old) == 1
    assert problems_of(tmp_path, GOOD.replace(old, new))[0].what.removeprefix("codebook eigen, ").endswith(what)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            GOOD[: GOOD.index("[[scale]]  #")].replace("items = [{", "items = []  # [{"),
            "line 16, scale meedoen: the scale has no items",
        ),
        (GOOD[: GOOD.index("[[scale]]")], "line 4: no `[[scale]]`"),
        (GOOD.replace('"survey"', '"participatory"')[: GOOD.index("[[scale]]") + 7], "line 4: no `[[scale]]`"),
        (REGISTER[: REGISTER.index("[[indicator]]")], "line 3: no `[[indicator]]`"),
        (
            GOOD + REGISTER[REGISTER.index("[[indicator]]") :],
            "line 31, indicator bomen: `[[indicator]]` in a source of kind survey",
        ),
        (
            REGISTER + GOOD[GOOD.index("[[scale]]") :],
            "line 20, scale meedoen: `[[scale]]` in a source of kind objective",
        ),
        (REGISTER.replace("log1p", "ln"), "line 12, indicator bomen: unknown transform"),
        (REGISTER.replace("pct_herkomst", "bomen"), "line 14, indicator bomen: the indicator occurs twice"),
        (REGISTER.replace('["herkomst"]', "[]"), "line 18, indicator pct_herkomst: columns is empty"),
        (REGISTER.replace('["plaatsgeschiktheid"]', "[]"), "line 10, indicator bomen: informs is empty"),
        (REGISTER.replace("columns", 'theme = "bomen"\ncolumns', 1), "line 11, indicator bomen: unknown theme"),
    ],
)
def test_a_source_of_one_kind_has_no_parts_of_another(tmp_path: Path, text: str, what: str) -> None:
    assert problems_of(tmp_path, text)[0].what.split(", ", 1)[1] == what


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('nl = "Eigen onderzoek"\n', "", "line 1: key `nl` is absent"),
        ('id = "meedoen"\n', "", "line 10, scale number 1: key `id` is absent"),
        ('1 = "nooit"', 'een = "nooit"', "line 13, scale meedoen: scale.0.answers.een is not right"),
        ("from = 1", 'from = "een"', "line 22, scale cijfers: scale.1.answers is not right"),
        ("to = 8, ", "", "line 22, scale cijfers: scale.1.answers is not right"),
        ("min_share_answered = 0.5", 'min_share_answered = "half"', "line 8: min_share_answered is not right"),
        ("items = [{", "vragen = [{", "line 10, scale meedoen: key `items` is absent"),
        ('{ name = "winkels" }', '{ about = "winkels" }', "line 26, item number 2: key `name` is absent"),
        (
            '{ name = "winkels" }',
            '{ name = "winkels", worst = "a" }',
            "line 29, item winkels: scale.1.items.1.worst is not right",
        ),
        ('{ name = "winkels" }', '"winkels"', "line 26, item 'winkels': scale.1.items.1 is not right"),
    ],
)
def test_what_has_not_the_form_of_a_codebook_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    assert GOOD.count(old) == 1
    assert problems_of(tmp_path, GOOD.replace(old, new))[0].what == f"codebook eigen, {what}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "line 1: key `id` is absent"),
        ("id = 3", "line 1: id is not right"),
        (GOOD[: GOOD.index("[[scale]]")] + 'scale = "x"', "line 10: scale is not right"),
        (GOOD[: GOOD.index("[[scale]]")] + "scale = [1]", "line 10, scale 1: scale.0 is not right"),
        (GOOD[: GOOD.index("[[scale]]")] + '[scale]\nid = "s"', "line 10: scale is not right"),
        (GOOD[: GOOD.index("items = ")] + "items = 3", "line 16, scale meedoen: scale.0.items is not right"),
        (GOOD[: GOOD.index("items = ")] + "items = [3]", "line 16, item 3: scale.0.items.0 is not right"),
        (GOOD[: GOOD.index("items = ")] + "items = [{}]", "line 16, item number 1: key `name` is absent"),
        (GOOD.replace('"doet_mee"', '""'), "line 16, item : scale.0.items.0.name is not right"),
        (GOOD.replace("[9]", '["x"]'), "line 7: missing.0 is not right"),
        # a description that looks like an item: the line of `items` then
        (
            GOOD.replace('about = "groen"', 'about = "name = x"').replace("winkels", "groen"),
            "line 26, item groen: the item occurs twice",
        ),
    ],
)
def test_the_oddest_file_is_refused_with_a_line(tmp_path: Path, text: str, what: str) -> None:
    assert problems_of(tmp_path, text)[0].what.split(", ", 1)[1] == what


def test_all_contradictions_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace('kind = "survey"', 'kind = "x"')
        .replace("missing = [9]", "missing = [1]")
        .replace("best = 3\n", "best = 2\n")
        .replace("winkels", "groen")
    )
    found = problems_of(tmp_path, text)
    assert [p.what.removeprefix("codebook eigen, ") for p in found] == [
        "line 4: unknown kind",
        "line 29, item groen: the item occurs twice",
        "line 13, scale meedoen: a code is an answer and missing",
        "line 14, scale meedoen: worst and best are not the ends of the scale",
        "line 22, scale cijfers: a code is an answer and missing",
    ]
    assert found[1].got == "also in line 28"


def test_scales_written_in_another_way_are_still_read(tmp_path: Path) -> None:
    head, _, tail = GOOD.partition("[[scale]]\n")
    first = tail[: tail.index("items = ")] + '[[scale.items]]\nname = "doet_mee"\n\n[[scale.items]]\nname = "groen"\n'
    text = f"{head}[[scale]]\n{first}\n[[scale]]  # marks{tail.split('# marks')[1]}"
    (problem,) = problems_of(tmp_path, text)
    # line 19 has the second item of the first scale; the other is that of the second scale
    line = 1 + next(i for i, row in enumerate(text.splitlines()) if '{ name = "groen"' in row)
    assert (problem.what, problem.got) == (
        f"codebook eigen, line {line}, item groen: the item occurs twice",
        "also in line 20",
    )
    inline = (
        head
        + 'scale = [{ id = "a", subdimension = "s", answers = {}, worst = 1, best = 2, items = [{ name = "b" }] }]\n'
    )
    (problem,) = problems_of(tmp_path, inline)
    assert problem.what == "codebook eigen, line 10, scale a: the scale has no two answers"
