"""All three verbs with an engine that makes templates of flat grey pictures: fields, tables, cohort, pages."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from overt.cohort import Cohort, Group, load, save
from overt.errors import Fatal
from overt.scoring import Normalisation, ScoreToRate
from overt_lab.evaluate import measuring
from overt_lab.evaluate.cli import evaluate
from overt_lab.evaluate.faces import EngineChoice, Ran
from overt_lab.evaluate.templates import Made, Mirrored, Picture, Template

pytestmark = pytest.mark.unit

BLANK = 0
"""A grey without a face."""


class Greys:
    """The grey is an angle in degrees."""

    length = 2

    def __init__(self, choice: EngineChoice, levelled: bool, mirrored: Mirrored, workers: int) -> None:
        self.ran = Ran("greys", "CPU", "f32", choice.pack, "d1")

        self._reference = -1 if mirrored is Mirrored.REFERENCES else 0

    def made(self, picture: Picture) -> Made | None:
        """As a reference a degree less."""
        grey = int(picture[0, 0, 0])
        return None if grey == BLANK else Made(_at(grey), _at(grey + self._reference))


def _at(degrees: float) -> Template:
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], np.float32)


@pytest.fixture(autouse=True)
def _greys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "open_enroller", Greys)


Case = Callable[[list[tuple[int, str, str]]], list[str]]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Pictures of (grey, subject, group), and the arguments that name them."""
    images = tmp_path / "images"
    images.mkdir()

    def make(rows: list[tuple[int, str, str]]) -> list[str]:
        lines = ["image,subject,group"]
        for number, (grey, subject, group) in enumerate(rows):
            cv2.imwrite(str(images / f"{number}.png"), np.full((64, 64, 3), grey, np.uint8))
            lines.append(f"{number}.png,{subject},{group}")
        (tmp_path / "labels.csv").write_text("\n".join(lines))
        return ["--images", str(images), "--labels", str(tmp_path / "labels.csv")]

    return make


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    templates = np.array([_at(degrees) for degrees in np.linspace(110, 180, 40)])
    scores = np.random.default_rng(0).normal(size=2000)
    made = Cohort(
        templates=templates,
        members=np.arange(40),
        groups=(Group("a", 40, 40),),
        model_digest="d1",
        normalisation=Normalisation(10, 1.0, 0.5),
        score_to_rate=ScoreToRate.from_impostors(scores),
        source="made up",
        legal_basis="none needed",
        created_at=datetime.now(UTC),
    )
    save(made, tmp_path / "cohort.npz")
    return tmp_path / "cohort.npz"


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(evaluate, arguments)


def _figures(arguments: list[str], tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "figures" / "out.json"
    shown = _run(*arguments, "--json", str(file))
    assert shown.exit_code == 0, shown.output
    figures: dict[str, Any] = json.loads(
        file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    return figures


# Ten people with three pictures, at 9, 18, ... degrees, and four with one.
PEOPLE = [(9 * who + n, f"p{who}", "ab"[who % 2]) for who in range(1, 11) for n in range(3)]
PEOPLE += [(200 + 10 * who, f"q{who}", "ab"[who % 2]) for who in range(4)]
SMALL = ["--watchlist-size", "6"]


# --- identification ---------------------------------------------------------------------------------------------


def test_identification_has_the_fields_that_were_agreed(case: Case, tmp_path: Path) -> None:
    figures = _figures(["identification", *case(PEOPLE), *SMALL], tmp_path)
    assert figures.keys() >= {"watchlist_size", "mated", "non_mated", "tpir_at_fpir", "det", "raw", "seed"}
    assert figures.keys() >= {"commit", "cores", "input", "engine", "precision", "model_digest", "mirrored"}
    assert "normalised" not in figures
    assert (figures["watchlist_size"], figures["mated"], figures["score"], figures["cohort"]) == (6, 10, "raw", None)
    assert list(figures["tpir_at_fpir"]) == ["1e-2", "3e-3", "1e-3"]
    assert figures["tpir_at_fpir"] == figures["raw"]["tpir_at_fpir"]
    point = figures["tpir_at_fpir"]["1e-2"]
    assert point.keys() >= {"tpir", "ci", "threshold"}
    assert point["tpir"] is point["ci"] is point["threshold"] is None, "a handful of people"
    assert point["expected_false_positives"] == pytest.approx(0.01 * figures["non_mated"])
    assert figures["rank_one"] == 1.0


def test_a_rate_that_rests_on_enough_is_stated_with_its_interval(case: Case, tmp_path: Path) -> None:
    others = [(200 + n % 40, f"o{n}", "a") for n in range(500)]
    figures = _figures(["identification", *case(PEOPLE[:30] + others), "--watchlist-size", "10"], tmp_path)
    point = figures["tpir_at_fpir"]["1e-2"]
    assert point["tpir"] is not None
    assert point["ci"][0] <= point["tpir"] <= point["ci"][1]
    assert figures["det"][0]["fpir"] >= 5 / figures["non_mated"]
    assert figures["tpir_at_fpir"]["1e-3"]["tpir"] is None
    assert figures["tpir_at_fpir"]["1e-3"]["missed"] >= point["missed"]


def test_a_failure_to_enrol_is_a_miss_and_stays_among_the_others(case: Case, tmp_path: Path) -> None:
    people = [(BLANK if n == 1 else grey, who, group) for n, (grey, who, group) in enumerate(PEOPLE)]
    people += [(BLANK, "nobody", "a")]
    before = _figures(["identification", *case(PEOPLE), "--watchlist-size", "12"], tmp_path)
    after = _figures(["identification", *case(people), "--watchlist-size", "12"], tmp_path)
    assert after["mated"] == before["mated"] == 20
    assert after["rank_one"] == pytest.approx(19 / 20)
    assert (after["fte"], after["fte_mated"], after["undecodable"]) == (2, 1, 0)
    assert after["fte_references"] + after["fte_non_mated"] == 1


def test_identification_tells_people(case: Case) -> None:
    shown = _run("identification", *case(PEOPLE), *SMALL)
    first, second, _, head, *rows, gain = shown.stdout.splitlines()
    assert first.startswith("34 pictures of 14 people; watchlist of 6, 10 probes of 5 of them,")
    assert second == "greys f32 (CPU); raw cosine, uncalibrated"
    assert head.split() == ["raw", "cosine"]
    assert [row.split("  ")[0] for row in rows] == [
        "TPIR at FPIR 1e-2",
        "TPIR at FPIR 3e-3",
        "TPIR at FPIR 1e-3",
        "best is the right one",
        "failures to enrol",
    ]
    assert "errors expected, not 5" in rows[0]
    assert gain.startswith("With references as they are, raw cosine: TPIR at FPIR 1e-2 – (0 missed), 3e-3")


def test_several_lists_are_averaged(case: Case, tmp_path: Path, cohort: Path) -> None:
    others = [(200 + n % 40, f"o{n}", "a") for n in range(500)]
    arguments = ["identification", *case(PEOPLE[:30] + others), "--watchlist-size", "10", "--cohort", str(cohort)]
    kinds = ["raw cosine", "normalised", "raw cosine, references as they are", "normalised, references as they are"]
    one, several = (_figures([*arguments, *more], tmp_path) for more in ([], ["--lists", "3"]))
    assert one["over_lists"] is None
    assert several["tpir_at_fpir"] == one["tpir_at_fpir"]
    assert several["over_lists"]["lists"] == 3
    means = several["over_lists"]["mean_tpir_at_fpir"]
    assert list(means) == kinds
    single = [_figures([*arguments, "--seed", str(seed)], tmp_path)["raw"]["tpir_at_fpir"] for seed in range(3)]
    assert means["raw cosine"]["1e-2"] == pytest.approx(sum(of["1e-2"]["tpir"] for of in single) / 3)
    assert means["raw cosine"]["1e-3"] is None
    shown = _run(*arguments, "--lists", "3").stdout
    assert "mean TPIR of 3 lists of the same people" in shown


def test_what_mirrored_references_gain_stands_beside(case: Case, tmp_path: Path) -> None:
    figures = _figures(["identification", *case(PEOPLE), *SMALL], tmp_path)
    assert figures["mirrored"] == "references"
    assert list(figures["references_as_they_are"]) == ["raw"]
    assert figures["references_as_they_are"]["raw"].keys() == figures["raw"].keys()
    for mirrored in ("none", "both"):
        figures = _figures(["identification", *case(PEOPLE), *SMALL, "--mirrored", mirrored], tmp_path)
        assert (figures["mirrored"], figures["references_as_they_are"]) == (mirrored, None)


def test_a_list_that_is_too_long_is_refused_before_the_work(case: Case) -> None:
    shown = _run("identification", *case(PEOPLE), "--watchlist-size", "14")
    assert isinstance(shown.exception, Fatal)
    assert "--watchlist-size 14 is too much for 14 people" in str(shown.exception)
    assert "templates of" not in shown.output


# --- equity -----------------------------------------------------------------------------------------------------


def test_a_handful_of_pictures_a_group_is_insufficient_evidence(case: Case, tmp_path: Path) -> None:
    arguments = ["equity", *case(PEOPLE), "--by", "group"]
    figures = _figures(arguments, tmp_path)
    assert set(figures["raw"]) == {"1e-3", "1e-4"}
    for level in figures["raw"].values():
        assert level["verdict"] == "insufficient evidence"
        assert set(level["groups"]) == {"a", "b"}
    assert figures.keys() >= {"by", "commit", "cores", "input", "engine"}
    assert "insufficient evidence" in _run(*arguments).stdout


def test_groups_take_a_column_that_tells_them_apart(case: Case) -> None:
    rows = [(grey, who, "all") for grey, who, _ in PEOPLE]
    shown = _run("equity", *case(rows), "--by", "group")
    assert isinstance(shown.exception, Fatal)
    assert "--by group: all pictures are in one group" in str(shown.exception)
    shown = _run("equity", *case(PEOPLE), "--by", "race")
    assert "lacks the column race" in str(shown.exception)
    for by in ("", " , ", "group,group"):
        assert _run("equity", *case(PEOPLE), "--by", by).exit_code == 2


# --- with a cohort ----------------------------------------------------------------------------------------------


def _verification(tmp_path: Path, arguments: list[str]) -> list[str]:
    pairs = [(3 * who, 3 * who + 1, 1) for who in range(10)] + [(3 * who, 29 - 3 * who, 0) for who in range(10)]
    (tmp_path / "pairs.csv").write_text(
        "image_a,image_b,same\n" + "\n".join(f"{a}.png,{b}.png,{s}" for a, b, s in pairs)
    )
    return ["verification", *arguments[:2], "--pairs", str(tmp_path / "pairs.csv")]


def _verbs(case: Case, tmp_path: Path) -> dict[str, list[str]]:
    common = case(PEOPLE)
    return {
        "verification": _verification(tmp_path, common),
        "identification": ["identification", *common, *SMALL],
        "equity": ["equity", *common, "--by", "group"],
    }


@pytest.mark.parametrize("verb", ["verification", "identification", "equity"])
def test_with_a_cohort_both_scores_are_judged_and_the_normalised_one_ships(
    case: Case, cohort: Path, tmp_path: Path, verb: str
) -> None:
    arguments = [*_verbs(case, tmp_path)[verb], "--cohort", str(cohort)]
    figures = _figures(arguments, tmp_path)
    assert figures.keys() >= {"raw", "normalised"}
    assert figures["score"] == "normalised"
    assert figures["cohort"] == {
        "file": str(cohort),
        "templates": 40,
        "people": 40,
        "best": 10,
        "a": 1.0,
        "b": 0.5,
        "seen_in_it": 0,
    }
    for name in ("tmr_at_fmr", "accuracy_10fold", "tpir_at_fpir"):
        assert figures.get(name) == figures["normalised"].get(name)
    shown = _run(*arguments).stdout
    assert "normalised against 40 people (40 pictures) of" in shown
    assert "K 10, a 1, b 0.5" in shown


def test_people_of_the_cohort_among_those_evaluated_are_told_of(case: Case, cohort: Path, tmp_path: Path) -> None:
    rows = [*PEOPLE, (110, "member", "a"), (180, "other", "b")]
    arguments = ["identification", *case(rows), *SMALL, "--cohort", str(cohort)]
    assert _figures(arguments, tmp_path)["cohort"]["seen_in_it"] == 2
    assert "2 of these pictures are in the cohort as well" in _run(*arguments).stdout


def test_a_cohort_of_another_model_is_refused_before_the_work(
    case: Case, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Others(Greys):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.ran = Ran("greys", "CPU", "f32", "open", "d2")

    monkeypatch.setattr(measuring, "open_enroller", Others)
    shown = _run("identification", *case(PEOPLE), *SMALL, "--cohort", str(cohort))
    assert isinstance(shown.exception, Fatal)
    assert "model" in str(shown.exception)
    assert "templates of" not in shown.output


def test_a_cohort_of_other_templates_is_refused_before_the_work(case: Case, cohort: Path) -> None:
    shown = _run("identification", *case(PEOPLE), *SMALL, "--cohort", str(cohort), "--mirrored", "both")
    assert isinstance(shown.exception, Fatal)
    assert "is no cohort of mirrored templates: leave out --mirrored both" in str(shown.exception)
    assert "templates of 34" not in shown.output


def test_a_cohort_of_mirrored_templates_is_for_mirrored_shots_alone(case: Case, cohort: Path) -> None:
    save(replace(load(cohort), mirrored=True), cohort)
    arguments = ["identification", *case(PEOPLE), *SMALL, "--cohort", str(cohort)]
    shown = _run(*arguments)
    assert isinstance(shown.exception, Fatal)
    assert "is a cohort of mirrored templates: say --mirrored both" in str(shown.exception)
    assert _run(*arguments, "--mirrored", "both").exit_code == 0


# --- fusing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_cohort", [False, True])
def test_fusing_compares_rules(case: Case, cohort: Path, tmp_path: Path, with_cohort: bool) -> None:
    options = ["--cohort", str(cohort)] if with_cohort else []
    page = tmp_path / "fusing.html"
    arguments = ["fusing", *case(PEOPLE), *options, "--html", str(page)]
    figures = _figures(arguments, tmp_path)
    assert figures["score"] == ("normalised" if with_cohort else "raw")
    assert figures["shots"]["2"]["people"] == figures["references"]["2"]["people"] == 10
    assert "3" not in figures["shots"], "nobody has four pictures"
    assert figures["shots"]["2"]["rules"]["one"]["1e-4"]["times"] is None, "a handful of people"
    assert "2 shots, 10 people" in _run(*arguments).stdout
    Tags(page.read_text())


# --- pages ------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What is opened and closed, and that both fit."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("with_cohort", [False, True])
@pytest.mark.parametrize("verb", ["verification", "identification", "equity"])
def test_the_page_is_one_file_and_everybody_can_read_it(
    case: Case, cohort: Path, tmp_path: Path, verb: str, with_cohort: bool
) -> None:
    file = tmp_path / "new" / "page.html"
    arguments = [*_verbs(case, tmp_path)[verb], "--html", str(file)]
    shown = _run(*arguments, *(["--cohort", str(cohort)] if with_cohort else []))
    assert shown.exit_code == 0, shown.output
    page = file.read_text(encoding="utf-8")
    tags = Tags(page).seen
    names = [tag for tag, _ in tags]
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & set(names)
    assert not re.search(r"\bsrc=|\bhref=|url\(|@import|javascript", page)
    assert "://" not in page
    assert names.count("h1") == 1
    assert {"lang": "en"} in [attributes for tag, attributes in tags if tag == "html"]
    # Every plot says what it shows, under names of its own; every table has heads.
    plots = [attributes for tag, attributes in tags if tag == "svg"]
    assert plots or verb == "equity", "there are too few pairs for plots of groups"
    assert names.count("title") == len(plots) + 1
    assert names.count("desc") == names.count("figcaption") == len(plots)
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(set((plot["aria-labelledby"] or "").split()) <= set(ids) for plot in plots)
    assert all(plot["role"] == "img" for plot in plots)
    assert {"row", "col"} <= {attributes.get("scope") for tag, attributes in tags if tag == "th"}
    # Figures only.
    assert not any(who in page for who in ("p1,", "q1", "0.png"))
    assert ("uncalibrated" in page) is not with_cohort
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).replace("nance", "")


def test_groups_are_drawn_where_there_are_rates(case: Case, cohort: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = [(int(grey), f"p{n // 2}", "ab"[n // 2 % 2]) for n, grey in enumerate(random.uniform(1, 255, 600))]
    file = tmp_path / "page.html"
    arguments = ["equity", *case(rows), "--by", "group", "--html", str(file), "--cohort", str(cohort)]
    figures = _figures(arguments, tmp_path)
    assert figures["normalised"]["1e-3"]["groups"]["a"]["fmr"] is not None
    page = file.read_text()
    tags = Tags(page).seen
    plots = [tag for tag, _ in tags if tag == "svg"]
    assert len(plots) == 4, "at 1e-4 there are too few pairs for false-match rates"
    assert [int(n) for n in re.findall(r"<b>Figure (\d+)\.</b>", page)] == [1, 2, 3, 4]
    assert "What normalisation changes, at FMR 1e-3" in page


def test_labels_are_text_on_the_page(case: Case, tmp_path: Path) -> None:
    rows = [(grey, who, {"a": "<script>alert(1)</script>", "b": "R&D"}[group]) for grey, who, group in PEOPLE]
    file = tmp_path / "page.html"
    assert _run("equity", *case(rows), "--by", "group", "--html", str(file)).exit_code == 0
    tags = Tags(file.read_text()).seen
    assert "script" not in [tag for tag, _ in tags]
    assert "R&amp;D" in file.read_text()


def test_a_page_that_cannot_be_written_is_told_after_the_figures(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = _run("equity", *case(PEOPLE), "--by", "group", "--html", str(tmp_path / "file" / "page.html"))
    assert isinstance(shown.exception, Fatal)
    assert "page.html cannot be written" in str(shown.exception)
    assert "insufficient evidence" in shown.stdout


def test_nothing_else_is_written(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verbs = _verbs(case, tmp_path)
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    for arguments in verbs.values():
        assert _run(*arguments).exit_code == 0
    assert set(tmp_path.rglob("*")) == before
