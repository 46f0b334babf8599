"""`buurtsae init` on made data: choices are said, what is not known is asked or refused, nothing is half-written.

Numbers of columns, items and areas are those of data/voorbeeldstad: 120 buurten in 12 wijken and 3 gemeenten, 1,000
respondents of the veiligheidsmonitor, who answer all 18 items of its codebook.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from buurtsae.errors import BuurtsaeError, DataError, ProblemsError
from buurtsae.retrieved import Retrieved, write_record
from buurtsae.runs.runfile import RunFile
from buurtsae.runs.steps import check
from buurtsae.start.books import apart
from buurtsae.start.choices import Question
from buurtsae.start.codes import completed
from buurtsae.start.columns import look
from buurtsae.start.fetched import Got
from buurtsae.start.init import Started, Wanted, init
from buurtsae.start.places import Place
from buurtsae.survey.codebook import Codebook

Edit = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def stad(request: pytest.FixtureRequest) -> Path:
    """Folder of the example."""
    return Path(__file__).parents[2] / "data" / "voorbeeldstad"


@pytest.fixture
def wanted(stad: Path) -> Wanted:
    """The survey of the veiligheidsmonitor, and the areas, which are there already."""
    return Wanted(
        stad / "enquete_veiligheidsmonitor.csv",
        year=2024,
        areas=stad / "buurten.gpkg",
        tables=(stad / "kerncijfers.csv",),
    )


@pytest.fixture
def edited(wanted: Wanted, tmp_path: Path) -> Callable[[Edit], Wanted]:
    """The same with another survey file: the respondents, edited."""

    def edit(how: Edit) -> Wanted:
        assert wanted.survey is not None
        path = tmp_path / "enquete.csv"
        how(pd.read_csv(wanted.survey)).to_csv(path, index=False)
        return replace(wanted, survey=path)

    return edit


def chosen(started: Started) -> dict[str, str]:
    """The last value of each kind of choice."""
    return {choice.key: choice.value for choice in started.choices}


def test_a_folder_that_check_passes(wanted: Wanted, tmp_path: Path) -> None:
    started = init(wanted, tmp_path / "mijn")
    assert [file.name for file in started.files] == ["README.md", "run.toml"]
    assert started.inputs is not None
    assert started.problems == ()
    assert chosen(started) | {"area": "buurtcode", "weight": "gewicht", "strata": "stratum"} == chosen(started)
    assert chosen(started)["source"] == "veiligheidsmonitor"
    assert [str(note) for note in started.left] == [
        "say in `credit` whom the borders and figures come from, with their licence"
    ]
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert spec.run.fictitious is False  # of what the respondents are it knows nothing
    assert [term.type for term in spec.model.terms] == ["bym2", "iid"]
    text = (tmp_path / "mijn" / "run.toml").read_text(encoding="utf-8")
    for choice in started.choices:
        if choice.key in ("area", "weight", "strata", "source", "iid"):
            assert f'"{choice.value}"  # {choice.why}' in text


@pytest.mark.parametrize(
    ("edit", "what", "got"),
    [
        # 106 buurten have respondents; their names and numbers are no codes
        (lambda t: t.assign(buurtcode="centrum"), "enquete.csv has no column of area codes", "columns buurtcode,"),
        (
            lambda t: t.rename(columns={"buurtcode": "pc6"}).assign(pc6="1012 AB"),
            "enquete.csv has no column of area codes",
            "postcodes in pc6: one may lie in several buurten",
        ),
        (
            lambda t: t.assign(buurtcode="GM9901"),
            "enquete.csv has no column of area codes",
            "gemeentecodes in buurtcode: a gemeente is too large",
        ),
        (
            lambda t: t.assign(werkbuurt=t["buurtcode"].iloc[::-1].to_numpy()),
            "enquete.csv has several columns of area codes",
            "buurtcode (106 buurtcodes), werkbuurt (106 buurtcodes)",
        ),
        (
            lambda t: t.assign(eindgewicht=t["gewicht"]),
            "enquete.csv has several columns that may be its weight",
            "gewicht, eindgewicht",
        ),
        (
            lambda t: t.rename(columns={"gewicht": "w2"}),
            "enquete.csv has no column that is called a weight",
            "numbers in w2, kennen_elkaar_nauwelijks,",
        ),
        (
            lambda t: t.assign(strata_2=t["stratum"]),
            "enquete.csv has several columns that may be its strata",
            "stratum,",
        ),
        (lambda t: t.assign(jaar=[2022] * 500 + [2024] * 500), "enquete.csv holds several years in jaar", "2022, 2024"),
        (lambda t: t.head(0), "enquete.csv has no respondents", "0 rows"),
        (lambda t: t[["buurtcode", "gewicht"]], "enquete.csv has no columns that can be items", "buurtcode, gewicht"),
        (lambda t: t.assign(gewicht=-1), "enquete.csv has no column that is called a weight", "numbers in gewicht,"),
    ],
)
def test_what_is_not_known_is_refused(
    edited: Callable[[Edit], Wanted], tmp_path: Path, edit: Edit, what: str, got: str
) -> None:
    with pytest.raises(DataError) as raised:
        init(edited(edit), tmp_path / "mijn")
    assert raised.value.what == what
    assert raised.value.got.startswith(got)
    assert not (tmp_path / "mijn").exists()


def test_all_that_is_wrong_is_said_at_once(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    wanted = edited(lambda t: t.drop(columns=["buurtcode", "gewicht"]))
    with pytest.raises(ProblemsError) as raised:
        init(replace(wanted, year=None, areas=None), tmp_path / "mijn")
    assert [problem.what for problem in raised.value.problems] == [
        "enquete.csv has no column of area codes",
        "enquete.csv has no column that is called a weight",
        "the year of the areas is not known",
        "--table is joined to --areas",
        "there are no areas",
    ]


def test_questions_and_answers(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    asked = list[Question]()
    answers = {"--area": "werkbuurt", "--weight": "eindgewicht", "--year": "2024"}

    def ask(question: Question) -> str | None:
        asked.append(question)
        return answers.get(question.option, question.default)

    wanted = edited(lambda t: t.assign(werkbuurt=t["buurtcode"].iloc[::-1].to_numpy(), eindgewicht=t["gewicht"]))
    started = init(replace(wanted, year=None), tmp_path / "mijn", ask)
    assert chosen(started)["area"] == "werkbuurt"
    assert chosen(started)["weight"] == "eindgewicht"
    assert chosen(started)["strata"] == "stratum"
    by_option = {question.option: question for question in asked}
    assert set(by_option) == {"--area", "--weight", "--strata", "--year"}
    assert by_option["--area"].likely == ("buurtcode", "werkbuurt")
    assert by_option["--area"].default is None  # of two none is taken by itself
    assert by_option["--strata"].default == "stratum"


def test_the_wijk_beside_the_buurt_is_no_rival(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    wanted = edited(lambda t: t.assign(wijkcode="WK" + t["buurtcode"].str[2:8]))
    assert chosen(init(wanted, tmp_path / "mijn"))["area"] == "buurtcode"


def test_respondents_per_wijk(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    wanted = edited(lambda t: t.assign(buurtcode="WK" + t["buurtcode"].str[2:8]))
    started = init(wanted, tmp_path / "mijn")
    assert started.inputs is not None
    source = RunFile.load(tmp_path / "mijn" / "run.toml").spec.sources[0]
    assert (source.level, source.area) == ("wijk", "buurtcode")


@pytest.mark.parametrize("text", [True, False])
def test_codes_without_letters_are_completed_in_a_copy(
    edited: Callable[[Edit], Wanted], wanted: Wanted, tmp_path: Path, text: bool
) -> None:
    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table if text else table[table["buurtcode"].str[2:].str.isdigit()]  # some codes have letters

    def bare(table: pd.DataFrame) -> pd.DataFrame:
        code = of(table)["buurtcode"].str[2:]  # 99010001, as numbers or with a space behind
        number = range(10_000_000, 10_000_000 + len(code))
        return of(table).assign(buurtcode=code + " " if text else code.astype(int), nummer=number)

    asked = edited(bare)
    started = init(asked, tmp_path / "mijn")
    assert started.inputs is not None
    why = next(choice.why for choice in started.choices if choice.key == "area")
    assert str(why) == "100.0% of its codes are buurten of these areas, written without letters or zeros in front"
    copy = pd.read_csv(tmp_path / "mijn" / "data" / "respondenten.csv")
    assert asked.survey is not None
    assert wanted.survey is not None
    whole, before = of(pd.read_csv(wanted.survey)).reset_index(drop=True), pd.read_csv(asked.survey)
    pd.testing.assert_frame_equal(copy, before.assign(buurtcode=whole["buurtcode"]))


def test_leading_zeros_come_back() -> None:
    text = pd.Series(["3630001", "140000", "0363AD03", "wk036300", "x"])
    buurten = ["BU03630001", "BU00140000", "BU0363AD03", None, None]
    assert completed(text.astype("string"), "buurt").astype(object).where(lambda c: c.notna(), None).tolist() == buurten
    assert completed(pd.Series(["36300", "WK036301"], dtype="string"), "wijk").tolist() == ["WK036300", "WK036301"]


def test_numbers_that_are_no_codes_of_these_areas(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    # dates of birth have eight digits too
    wanted = edited(lambda t: t.rename(columns={"buurtcode": "geboren"}).assign(geboren=[19650312, 19720128] * 500))
    with pytest.raises(DataError, match="has no column of area codes") as raised:
        init(wanted, tmp_path / "mijn")
    assert raised.value.got == "numbers in geboren that are no buurten or wijken of these areas"
    assert not (tmp_path / "mijn").exists()


def test_codes_of_another_year(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    def older(table: pd.DataFrame) -> pd.DataFrame:
        here = table["buurtcode"].str[:6] == "BU9901"  # the 8 wijken of GM9901 had other numbers
        code = table["buurtcode"].str[:6] + "9" + table["buurtcode"].str[7:]
        return table.assign(buurtcode=table["buurtcode"].where(~here, code))

    started = init(edited(older), tmp_path / "mijn")
    assert started.inputs is None  # `check` refuses what the areas do not have
    assert started.problems[0].what.endswith("live in unknown buurten")
    said = next(str(note) for note in started.left if "another year" in note)
    assert "[[areas.editions]]" in said
    assert RunFile.load(tmp_path / "mijn" / "run.toml").spec.areas.editions == ()  # in words only
    assert "# the codes of the respondents are hardly those of 2024" in (tmp_path / "mijn" / "run.toml").read_text()


def test_near_years_are_compared_where_there_are_borders(
    stad: Path, edited: Callable[[Edit], Wanted], tmp_path: Path
) -> None:
    import geopandas as gpd

    def fetch(what: Sequence[str], place: Place, year: int, out: Path) -> Got:
        out.mkdir(parents=True)
        borders = gpd.read_file(stad / "buurten.gpkg")
        if year == 2023:
            borders["buurtcode"] = borders["buurtcode"].str[:6] + "9" + borders["buurtcode"].str[7:]
        if year == 2025:
            raise DataError("there are no borders of 2025", "2025", "2024", "wait")
        files = {}
        for each in what:
            table = borders if each == "borders" else pd.read_csv(stad / "kerncijfers.csv")
            table.to_parquet(out / f"{each}_{year}.parquet")
            files[each] = out / f"{each}_{year}.parquet"
        return Got("Voorbeeldstad", files)

    old = edited(lambda t: t.assign(buurtcode=t["buurtcode"].str[:6] + "9" + t["buurtcode"].str[7:]))
    started = init(replace(old, areas=None, tables=()), tmp_path / "mijn", fetch=fetch)
    said = next(str(note) for note in started.left if "another year" in note)
    assert said.startswith("0% of the buurtcodes are areas of 2024 (2023: 100%)")
    names = ["README.md", "data/borders_2024.parquet", "data/kerncijfers_2024.parquet", "run.toml"]
    assert [file.relative_to(tmp_path / "mijn").as_posix() for file in started.files] == names


def test_what_is_fetched_is_used(stad: Path, wanted: Wanted, tmp_path: Path) -> None:
    import geopandas as gpd

    calls = list[tuple[tuple[str, ...], tuple[str, ...], int]]()

    def fetch(what: Sequence[str], place: Place, year: int, out: Path) -> Got:
        calls.append((tuple(what), place.names, year))
        out.mkdir(parents=True)
        gpd.read_file(stad / "buurten.gpkg").to_parquet(out / "buurten_2024.parquet")
        pd.read_csv(stad / "kerncijfers.csv").to_parquet(out / "kerncijfers_2024.parquet")
        url, licence = "https://opendata.example/85984NED", "https://licence.example/"
        retrieved = Retrieved(
            "CBS", "85984NED", "t", "2024", url, "2026-01-01T00:00:00Z", "CC BY 4.0", licence, "CBS", "a", 1
        )
        write_record(out / "kerncijfers_2024.parquet", [retrieved])
        names = {"borders": "buurten_2024.parquet", "kerncijfers": "kerncijfers_2024.parquet"}
        return Got("Voorbeeldstad", {each: out / names[each] for each in what})

    started = init(replace(wanted, areas=None, tables=()), tmp_path / "mijn", fetch=fetch)
    # the gemeenten of the respondents, the one with most of them first
    assert calls == [(("borders", "kerncijfers"), ("GM9901", "GM9903", "GM9902"), 2024)]
    assert started.inputs is not None
    assert started.left == ()  # the records say whom to credit
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert (spec.areas.file, spec.areas.where) == ("data/buurten_2024.parquet", {})
    assert [table.file for table in spec.areas.tables] == ["data/kerncijfers_2024.parquet"]


def test_nothing_is_written_when_a_service_fails(wanted: Wanted, tmp_path: Path) -> None:
    def fetch(what: Sequence[str], place: Place, year: int, out: Path) -> Got:
        out.mkdir()
        (out / "half.parquet").write_bytes(b"half")
        raise DataError("PDOK does not answer", "status 500", "200", "try again later")

    with pytest.raises(DataError, match="PDOK does not answer"):
        init(replace(wanted, areas=None, tables=()), tmp_path / "mijn", fetch=fetch)
    assert not (tmp_path / "mijn").exists()


def test_a_file_of_the_user_stays(wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match="has these files already") as raised:
        init(wanted, tmp_path)
    assert raised.value.got == "run.toml"
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]
    assert (tmp_path / "run.toml").read_text(encoding="utf-8") == "mine"


def test_one_gemeente_of_a_larger_file(wanted: Wanted, edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    started = init(replace(wanted, place=Place("gemeente", ("9901",))), tmp_path / "een")
    spec = RunFile.load(tmp_path / "een" / "run.toml").spec
    assert spec.areas.where == {"gemeentecode": "GM9901"}
    assert chosen(started)["iid"] == "wijk"  # of one gemeente there is nothing to compare
    elsewhere = next(str(note) for note in started.left if "live elsewhere" in note)
    assert wanted.survey is not None
    respondents = pd.read_csv(wanted.survey)
    assert elsewhere.startswith(f"{(respondents['buurtcode'].str[2:6] != '9901').sum()} respondents live elsewhere")
    only = edited(lambda t: t[t["buurtcode"].str[2:6] == "9901"])
    assert init(only, tmp_path / "zelf").inputs is not None  # where all of them live there, that is the place
    assert RunFile.load(tmp_path / "zelf" / "run.toml").spec.areas.where == {"gemeentecode": "GM9901"}


def test_some_gemeenten_of_a_larger_file(wanted: Wanted, tmp_path: Path) -> None:
    started = init(replace(wanted, place=Place("gemeente", ("GM9902", "GM9903"))), tmp_path / "twee")
    assert "data/buurten_2024.parquet" in [f.relative_to(tmp_path / "twee").as_posix() for f in started.files]
    spec = RunFile.load(tmp_path / "twee" / "run.toml").spec
    assert (spec.areas.file, spec.areas.where) == ("data/buurten_2024.parquet", {})


def test_an_unknown_gemeente(wanted: Wanted, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no gemeente of that name in the areas") as raised:
        init(replace(wanted, place=Place("gemeente", ("Voorbeldstad",))), tmp_path / "mijn")
    assert "Voorbeeldstad (GM9901)" in raised.value.expected
    assert not (tmp_path / "mijn").exists()


def test_a_codebook_to_complete(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    def other(table: pd.DataFrame) -> pd.DataFrame:
        items = table.columns[3:]
        named = table.rename(columns={name: f"v{k}" for k, name in enumerate(items, 1)})
        return named.assign(opmerking="mijn buurman Jan maakt lawaai", leeftijd=range(1000), v1=named["v1"] == 1)

    started = init(edited(other), tmp_path / "mijn")
    assert chosen(started)["source"] == "codebook.toml"
    assert str(started.left[0]) == "complete codebook.toml: `buurtsae sources codebook.toml` says what is left"
    assert started.inputs is None
    assert any("codebook eigen" in problem.what for problem in started.problems)
    path = tmp_path / "mijn" / "codebook.toml"
    text = path.read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    assert [scale["id"] for scale in raw["scale"]] == [f"v{k}" for k in range(2, 19)]
    assert raw["scale"][0]["answers"] == {str(code): "" for code in (1, 2, 3, 4, 5, 9)}  # 9 is not known to be missing
    assert not {"subdimension", "worst", "best"} & set(raw["scale"][0])  # none of it is guessed
    assert text.count('# subdimension = ""   # one of omgang_en_relaties, participatie, plaatsidentiteit,') == 17
    assert text.count("#   9: apart from the others; if no answer, move to `missing`") == 17
    assert "Jan" not in text  # what respondents wrote is never copied
    for line in (
        "opmerking: text, 1 different: export codes if it is an item",
        "leeftijd: numbers, 1000 different",
        "v1: true and false",
    ):
        assert f"#   {line}" in text
    with pytest.raises(BuurtsaeError, match="subdimension") as raised:
        Codebook.load(path)
    assert isinstance(raised.value, ProblemsError)


def test_the_codebook_can_be_completed(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    items = ["veilig", "vies"]

    def other(table: pd.DataFrame) -> pd.DataFrame:
        return table[["buurtcode", "gewicht"]].assign(**{name: table[name_of] for name, name_of in NAMED.items()})

    NAMED = dict(zip(items, ("thuis_voelen", "verlichting"), strict=True))
    init(edited(other), tmp_path / "mijn")
    path = tmp_path / "mijn" / "codebook.toml"
    text = path.read_text(encoding="utf-8")
    said = {"subdimension": '"omgang_en_relaties"', "worst": "1", "best": "5", "level": '"gemeente"'}
    for key, value in {**said, "min_share_answered": "0.5"}.items():
        text = re.sub(rf"(?m)^# {key} =.*$", f"{key} = {value}", text)
    text = text.replace("references = []", 'references = ["ons onderzoek"]').replace("missing = []", "missing = [9]")
    text = text.replace(', 9 = ""', "")
    path.write_text(text, encoding="utf-8")
    inputs = check(tmp_path / "mijn" / "run.toml")
    assert inputs.direct.subdimensions == ("omgang_en_relaties",)


def test_a_codebook_of_the_user(wanted: Wanted, stad: Path, tmp_path: Path) -> None:
    home = stad.parent / "gezondheid"
    asked = replace(
        wanted, survey=home / "enquete_gezondheidsmonitor.csv", source=str(home / "gezondheidsmonitor.toml")
    )
    started = init(asked, tmp_path / "mijn")
    assert "name the concept that it belongs to under `[concept]`" in str(started.left[0])
    run = tmp_path / "mijn" / "run.toml"
    assert RunFile.load(run).spec.run.title.startswith("Gezondheidsmonitor")
    named = f'[concept]\nfile = "{(home / "begrip.toml").as_posix()}"\n\n[graph]'
    run.write_text(run.read_text(encoding="utf-8").replace("[graph]", named), encoding="utf-8")
    assert check(run).direct.subdimensions == ("eenzaam", "vrijwilligerswerk", "thuisgevoel", "leefbaarheid")


def test_a_codebook_of_the_user_that_is_not_complete(wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "half.toml").write_text('id = "half"\n', encoding="utf-8")
    started = init(replace(wanted, source=str(tmp_path / "half.toml")), tmp_path / "mijn")
    assert str(started.left[0]).startswith("complete ")
    assert RunFile.load(tmp_path / "mijn" / "run.toml").spec.sources[0].source == "../half.toml"
    assert started.inputs is None


def test_codes_after_a_gap_may_be_no_answers() -> None:
    assert apart((1, 2, 3, 4, 5, 8, 9)) == (8, 9)
    assert apart((0, 1, 99)) == (99,)
    assert apart((1, 2, 3)) == ()
    assert apart((1, 3, 5)) == ()  # every other code: a scale of its own


def test_two_codebooks_that_fit(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    both = [item.name for item in Codebook.load("burgerpeiling").items]
    wanted = edited(lambda t: t.assign(**{name: [1, 4] * 500 for name in both}))
    with pytest.raises(DataError, match="fits several codebooks") as raised:
        init(wanted, tmp_path / "mijn")
    assert "burgerpeiling (10 of its 10 items are columns)" in raised.value.got
    started = init(replace(wanted, source="burgerpeiling"), tmp_path / "mijn")
    assert chosen(started)["source"] == "burgerpeiling"
    assert started.inputs is not None


def test_items_that_were_not_asked(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    started = init(edited(lambda t: t.drop(columns=["verlichting", "speelplekken"])), tmp_path / "mijn")
    assert started.inputs is not None
    spec = RunFile.load(tmp_path / "mijn" / "run.toml").spec
    assert spec.sources[0].not_asked == ("verlichting", "speelplekken")


def test_replicate_weights_and_body_weight_are_no_weights(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    extra = {f"gewicht_{k}": 1.0 for k in range(1, 9)} | {"lichaamsgewicht_kg": 70, "beweegt": 1, "huishouden": 2}
    started = init(edited(lambda t: t.assign(**extra)), tmp_path / "mijn")
    assert chosen(started)["weight"] == "gewicht"
    assert any("8 numbered weights" in note for note in started.left)
    assert "cluster" not in chosen(started)  # two persons is a size, no household


def test_what_is_left_out_for_one_reason_is_said_once(wanted: Wanted, tmp_path: Path) -> None:
    """The example has 106 buurten with respondents, and 40 columns that no codebook knows are added."""
    extra = pd.read_csv(wanted.tables[0])[["buurtcode"]].assign(**{f"nieuw{k}": range(120) for k in range(40)})
    extra.to_csv(tmp_path / "meer.csv", index=False)
    started = init(replace(wanted, tables=(*wanted.tables, tmp_path / "meer.csv")), tmp_path / "mijn")
    reasons = [str(choice.why) for choice in started.choices if choice.key == "left out"]
    assert len(set(reasons)) == len(reasons)
    (new,) = (choice.value for choice in started.choices if "no codebook knows them" in choice.why)
    assert new.startswith("nieuw0, nieuw1, ")
    assert new.endswith("nieuw29, ... (40)")


def test_covariates_of_a_model_are_left_out(wanted: Wanted, tmp_path: Path) -> None:
    extra = pd.read_csv(wanted.tables[0])[["buurtcode", "pct_65plus"]]
    extra = extra.assign(
        lbm=4.0 + extra["pct_65plus"] / 100, percentage_met_herkomstland_nederland=50 + extra["pct_65plus"] / 10
    ).drop(columns="pct_65plus")
    extra.to_csv(tmp_path / "meer.csv", index=False)
    started = init(replace(wanted, tables=(*wanted.tables, tmp_path / "meer.csv")), tmp_path / "mijn")
    why = {choice.value: str(choice.why) for choice in started.choices if choice.key == "left out"}
    assert why["lbm"] == "estimated by a model itself: no independent evidence"
    assert why["percentage_met_herkomstland_nederland"] == "about origin: never used unasked"
    assert started.inputs is not None


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        (lambda t: t.assign(thuis_voelen=77), "answers to thuis_voelen are not the codes of veiligheidsmonitor"),
        (lambda t: t.assign(thuis_voelen="eens"), "answers to thuis_voelen are not the codes of veiligheidsmonitor"),
        (lambda t: t.assign(gewicht=t["gewicht"].where(t.index > 5, -1)), "6 rows of gewicht are empty or not above 0"),
        (lambda t: t.assign(buurtcode=t["buurtcode"].where(t.index > 9, "?")), "10 respondents have no buurtcode"),
        (
            lambda t: t.assign(buurtcode=t["buurtcode"].where(t.index > 2, "BU99010099")),
            "3 respondents have a buurtcode that is no area of 2024",
        ),
    ],
)
def test_what_is_left_is_said(edited: Callable[[Edit], Wanted], tmp_path: Path, edit: Edit, left: str) -> None:
    started = init(edited(edit), tmp_path / "mijn")
    assert any(str(note).startswith(left) for note in started.left)
    assert started.inputs is None  # and `check` says it too
    assert len(started.problems) == 1


def test_names_of_columns_are_no_code(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    strange = "\"] 'x # [run]"

    def other(table: pd.DataFrame) -> pd.DataFrame:
        named = {name: f"{k}{strange}" for k, name in enumerate(table.columns[3:])}
        return table.rename(columns={"gewicht": f"gewicht {strange}", **named}).assign(getal=float("inf"))

    started = init(edited(other), tmp_path / "mijn")
    assert chosen(started)["weight"] == f"gewicht {strange}"
    raw = tomllib.loads((tmp_path / "mijn" / "run.toml").read_text(encoding="utf-8"))
    assert raw["sources"][0]["weight"] == f"gewicht {strange}"
    book = tomllib.loads((tmp_path / "mijn" / "codebook.toml").read_text(encoding="utf-8"))
    assert [scale["items"][0]["name"] for scale in book["scale"]] == [f"{k}{strange}" for k in range(18)]


def test_many_columns_are_looked_at_by_their_values() -> None:
    """200,000 rows: each column is counted once, and only different values are read as text."""
    rng = np.random.default_rng(1)
    codes = np.array([f"BU9901{k:04}" for k in range(5000)])
    table = pd.DataFrame({"buurtcode": rng.choice(codes, 200_000), "gewicht": rng.random(200_000) + 0.5})
    table = table.assign(**{f"v{k}": rng.integers(1, 6, 200_000) for k in range(20)})
    seen = look(table, "groot.csv")
    assert seen["v1"].answers == (1, 2, 3, 4, 5)
    assert seen["gewicht"].distinct == 200_000 == seen.rows
    assert [one.column for one in seen.codes] == ["buurtcode"]
    assert seen.codes[0].rows.sum() == 200_000


@pytest.mark.parametrize("note", ["en", "nl"])
def test_the_readme_is_in_both_languages(wanted: Wanted, tmp_path: Path, note: str) -> None:
    started = init(wanted, tmp_path / "mijn")
    text = (tmp_path / "mijn" / "README.md").read_text(encoding="utf-8")
    dutch, english = text.split("## What lies here")
    half = english if note == "en" else dutch
    for choice in started.choices:
        assert (str(choice.line) if note == "en" else choice.line.nl) in half
    for left in started.left:
        assert (str(left) if note == "en" else left.nl) in half


def test_a_participatory_source_needs_no_weights(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    book = Codebook.load("leefplekmeter")

    def walked(table: pd.DataFrame) -> pd.DataFrame:
        marks = {item.name: [3, 8, 5, 6] * 250 for item in book.items}
        return table[["buurtcode"]].assign(**marks)

    started = init(edited(walked), tmp_path / "mijn")
    assert chosen(started)["source"] == "leefplekmeter"
    assert "weight" not in chosen(started)
    assert started.inputs is not None


def test_beside_the_survey_in_its_own_folder(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    started = init(edited(lambda table: table), tmp_path)
    assert started.inputs is not None
    assert RunFile.load(tmp_path / "run.toml").spec.sources[0].file == "enquete.csv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "enquete.csv", "run.toml"]


def test_a_merged_gemeente(edited: Callable[[Edit], Wanted], tmp_path: Path) -> None:
    def before(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(buurtcode="BU8801" + table["buurtcode"].str[6:])

    with pytest.raises(DataError, match="none of the respondents lives in these areas") as raised:
        init(edited(before), tmp_path / "mijn")
    assert raised.value.got == "codes of gemeenten GM8801"
    assert "merged" in raised.value.hint
    started = init(replace(edited(before), place=Place("gemeente", ("GM9901",))), tmp_path / "mijn")
    assert "1000 respondents live elsewhere, or have codes from before their gemeente merged (GM8801)" in str(
        started.left[1]
    )
    assert started.inputs is None


def test_what_is_no_figure_of_buurten_is_refused(wanted: Wanted, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="these are no figures of buurten") as raised:
        init(replace(wanted, areas=None, tables=(), more=("adressen", "gezondheid")), tmp_path / "mijn", fetch=nothing)
    assert raised.value.got == "adressen"


def test_nothing_is_fetched_beside_areas_that_are_given(wanted: Wanted, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--with is fetched, and with --areas nothing is") as raised:
        init(replace(wanted, more=("gezondheid",)), tmp_path / "mijn", fetch=nothing)
    assert raised.value.got == "gezondheid"


@pytest.mark.parametrize(
    "edit",
    [lambda t: t.drop(columns="buurtcode"), lambda t: t.assign(werkbuurt=t["buurtcode"].iloc[::-1].to_numpy())],
)
def test_no_place_is_asked_where_no_column_has_codes(
    edited: Callable[[Edit], Wanted], tmp_path: Path, edit: Edit
) -> None:
    """One problem: to name a gemeente would not help."""
    with pytest.raises(DataError, match=r"columns? of area codes"):
        init(replace(edited(edit), areas=None, tables=()), tmp_path / "mijn", fetch=nothing)


def nothing(*asked: object) -> Got:
    """Nothing is to be fetched."""
    raise AssertionError(asked)
