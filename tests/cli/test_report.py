"""``jaxprune report``: what a person reads, for studies that are whole, half done, broken or empty."""

import html.parser
import json
import re
import sys

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from jaxprune.studies.report.drawing import draw_figures
from jaxprune.studies.report.markdown import markdown_report
from jaxprune.studies.report.method_words import methods_text
from jaxprune.studies.report.page import page
from jaxprune.studies.report.parts import lead
from jaxprune.studies.report.summary import summarise
from tests.cli.run import run
from tests.studies.synthetic import Study, Task, Truth, config, share

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(html.parser.HTMLParser):
    """Checks that elements are closed in order, and keeps attributes and identifiers."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.elements = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def planted(**more):
    # Tasks lose ten points whatever calibrates: what is said of them has something to be won back.
    truth = Truth(
        nats=lambda mixture, language: 0.3 * (share(mixture, language) > 0),
        points=lambda mixture, language, task: -0.05,
    )
    return Study(config(decision={"weights": {"perplexity": 1}}, **more), truth, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = planted(title="Which <b>language</b>? أي لغة؟")
    return made.write(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def reported(folder):
    from jaxprune.jobs.report import report

    return report(folder, overwrite=False)


def test_the_answer_is_what_was_planted(reported):
    texts = {answer["language"]: answer["text"] for answer in reported["answers"]}
    assert re.match(
        r"For German: calibrate on de(\+en)?: perplexity [\d.]+ against [\d.]+ with English \(\u22122\d%, 95% "
        r"interval "
        r"\u2212\d+ to \u2212\d+%, p [<=] [\d.]+ after Holm\); exams: no measurable difference \(",
        texts["de"],
    )
    assert "costs nothing more" in texts["de"]
    assert "worse off than with English calibration: English (perplexity +" in texts["ar"]
    assert re.match(
        r"For English: (stay with English \(en\)|by the criterion \S+ is not measurably better than English \(en\))",
        texts["en"],
    )
    verdicts = [finding["verdict"] for finding in reported["findings"]]
    impaired, *open_ = verdicts[3:]
    assert verdicts[:3] == ["shown", "shown", "shown"]
    assert impaired in ("shown", "partly shown")
    assert {*open_} <= {"not shown", "cannot be judged"}
    assert not reported["state"]
    told = " ".join(reported["caveats"])
    for caveat in ("one register", "4 bits", "not comparable", "Peak memory", "stored as large"):
        assert caveat in told


def test_the_page_needs_nothing_else_and_is_well_formed(folder, reported):
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.elements:
        assert not {"src", "srcset", "data", "action"} & set(attributes)
        for name, value in attributes.items():
            if name.endswith("href"):
                assert value.startswith("#")
                assert value[1:] in page.ids
    for used in re.findall(r"url\(([^)]*)\)", text):
        assert used.startswith("#")
        assert used[1:] in page.ids
    assert "@import" not in text
    assert "<script" not in text
    assert "Which &lt;b&gt;language&lt;/b&gt;?" in text
    assert ("h1", {"dir": "auto"}) in page.elements
    arabic = [attributes for tag, attributes in page.elements if tag == "bdi" and attributes["lang"] == "ar"]
    assert arabic
    assert all(attributes["dir"] == "rtl" for attributes in arabic)
    assert "العربية" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_figures_are_there_twice_and_follow_the_page(folder, reported):
    figures = folder / "report" / "figures"
    stems = {path.stem for path in figures.iterdir()}
    assert {path.name for path in figures.iterdir()} == {f"{stem}{kind}" for stem in stems for kind in (".png", ".svg")}
    for part in (
        "heatmap-perplexity",
        "heatmap-exams",
        "differences-perplexity",
        "snr-by-depth",
        "who-pays",
        "tasks-",
        "cost",
    ):
        assert any(stem.startswith(part) for stem in stems), part
    assert Image.open(figures / "cost.png").width > 300
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert drawn.count('role="img"') == len(stems)
    assert "currentColor" in drawn
    assert "#ffffff" not in drawn
    assert "#000000" not in drawn
    assert "<image" not in drawn


def test_what_a_decision_does_not_need_is_folded(folder, reported):
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "<details open" not in text
    unfolded = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    shown = re.findall(r'<svg role="img" aria-label="wanda 0.5: ([\w ]*\w)', unfolded)
    assert shown == [
        "perplexity by calibration and evaluation language",
        "knowledge tasks",
        "change of perplexity against English calibration",
    ]
    # Of tables, the answer in short alone.
    assert unfolded.count("<table") == unfolded.count('<div class="overview">') == 1
    # On a narrow screen each of its cells stands on a line of its own, behind the name of its column.
    [shown] = re.findall(r'<div class="overview">.*?</table>', unfolded, re.DOTALL)
    _, *columns = re.findall(r'<th scope="col">(.*?)</th>', shown)
    rows = [re.findall(r'<td data-head="(.*?)"', row) for row in re.findall(r"<tr><th scope=.row.*?</tr>", shown)]
    assert rows == [columns] * text.count("<article")
    [german] = re.findall(r"<h4>German.*?</article>", text, flags=re.DOTALL)
    first, folded = german.split("<details>")
    assert "95% interval" in first
    assert "costs nothing more" in folded


def test_json_and_markdown_say_the_same(capsys, monkeypatch, folder, reported):
    done = run(capsys, "report", folder, "--json", "--overwrite")
    assert done.status == 0, done.err
    assert json.loads(done.out) == json.loads((folder / "report" / "summary.json").read_text()) == reported
    table = (folder / "report" / "report.md").read_text(encoding="utf-8")
    for answer in reported["answers"]:
        for line in (answer["headline"], *answer["effects"], answer["others"], answer["doubts"]):
            assert line in table
    for line in table.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    linked = re.findall(r"\]\((figures/[^)]+)\)", table)
    assert linked
    assert all((folder / "report" / link).exists() for link in linked)
    # Before anything is computed.
    monkeypatch.setattr("jaxprune.jobs.report.summarise", None)
    refused = run(capsys, "report", folder)
    assert refused.status == 2
    assert "--overwrite" in refused.err


def test_a_study_with_holes_says_so_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    made = Study(
        config(
            seeds=(0,),
            windows=6,
            tasks=("exams", "reviews"),
            decision={
                "targets": [
                    {"measure": "perplexity", "worse_than_dense_at_most": 0.01},
                    {"measure": "exams", "other_languages_lose_at_most": 0.9},
                ]
            },
        ),
        Truth(),
        tasks={"reviews": Task("language", 0.7, languages=("de", "en"))},
    )
    made.fail("wanda_0.5_ar_seed0", "the factorisation of <k_proj> failed")
    made.drop("wanda_0.5_sw_seed0")
    for name in ("nats", "tokens"):
        made.arrays["wanda_0.5_de_seed0"][f"perplexity/de/{name}"][:] = np.nan if name == "nats" else 511
    out = made.write(tmp_path / "out")
    done = run(capsys, "report", out)
    assert done.status == 0, done.err
    err = " ".join(done.err.split())
    assert "Unfinished: 3 of 5 points done, 1 still missing: wanda_0.5_sw_seed0." in err
    assert "wanda_0.5_ar_seed0 (prune: the factorisation of <k_proj> failed)" in err
    assert "no calibration holds the targets" in done.out
    assert "other languages lose at most 90%" in done.out
    text = (out / "report" / "index.html").read_text(encoding="utf-8")
    Page(text)
    assert text.index("Unfinished") < text.index("The answer") < text.index("Left out: wanda_0.5_de_seed0")
    for said in (
        "&lt;k_proj&gt;",
        "6 of 6 items are not finite",
        "reviews has no data in Arabic and Swahili",
        "One calibration seed",
        "6 windows of 512 tokens",
        "Figures are missing",
    ):
        assert said in text, said
    assert not (out / "report" / "figures").exists()
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().replace("finance", "")


def test_results_that_were_edited_do_not_stop_the_others(capsys, tmp_path):
    made = planted(seeds=(0,))
    made.results["wanda_0.5_de_seed0"]["point"] = {}
    del made.results["wanda_0.5_ar_seed0"]["point"]
    out = made.write(tmp_path / "out")
    done = run(capsys, "report", out)
    assert done.status == 0, done.err
    told = " ".join(done.err.split())
    assert "2 points of 5 did not come out and count nowhere: wanda_0.5_ar_seed0 (result: " in told
    assert told.count("to judge by its point") == 2
    path = out / "dense" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tasks": {"x": {}}}))
    done = run(capsys, "report", out, "--overwrite")
    assert done.status == 0, done.err
    assert "cannot be read (result: dense/result.json is not a result of this study, to judge by its tasks; run" in (
        " ".join(done.err.split())
    )


def test_points_without_their_items_are_told_at_the_top(capsys, tmp_path):
    made = planted(seeds=(0,))
    del made.arrays["wanda_0.5_en_seed0"]["perplexity/de/nats"]
    out = made.write(tmp_path / "out")
    (out / "points" / "wanda_0.5_de_seed0" / "items.npz").unlink()
    (out / "points" / "wanda_0.5_ar_seed0" / "items.npz").write_bytes(b"garbage")
    broken = out / "points" / "wanda_0.5_sw_seed0" / "items.npz"
    content = bytearray(broken.read_bytes())
    content[200:400] = bytes(200)
    broken.write_bytes(content)
    done = run(capsys, "report", out)
    assert done.status == 0, done.err
    told = " ".join(done.err.split())
    assert "2 points of 5 did not come out and count nowhere: wanda_0.5_ar_seed0 (result: " in told
    assert "items.npz is not there" in told
    assert "Left out: 2 measurements of wanda_0.5_en_seed0 and wanda_0.5_sw_seed0" in told
    table = (out / "report" / "report.md").read_text(encoding="utf-8")
    listed = table[table.index("### Measured, and left out") :]
    assert "| wanda_0.5_en_seed0 | perplexity in de: nothing was measured" in listed
    assert "items.npz is damaged" in listed
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "<details><summary>Measured, and left out</summary>" in page


def test_where_nothing_counts_that_is_said_and_nothing_else(capsys, tmp_path):
    made = planted(seeds=(0,), tasks=())
    for name, arrays in made.arrays.items():
        if name != "dense":
            for language in ("ar", "de", "en", "sw"):
                arrays[f"perplexity/{language}/nats"][:] = np.nan
    out = made.write(tmp_path / "out")
    done = run(capsys, "report", out)
    assert done.status == 0, done.err
    assert "Left out: 20 measurements of wanda_0.5_ar_seed0, " in " ".join(done.err.split())
    assert "Nothing that was measured counts" in done.out
    assert "two calibrations" not in done.out
    table = (out / "report" / "report.md").read_text(encoding="utf-8")
    assert table[table.index("### Measured, and left out") :].count("40 of 40 items are not finite") == 20


def test_where_english_has_no_numbers_nothing_is_compared_with_it(tmp_path):
    made = planted(seeds=(0,), tasks=("exams",))
    for language in ("ar", "de", "en", "sw"):
        for name in ("perplexity/{}/nats", "tasks/exams/{}/acc"):
            made.arrays["wanda_0.5_en_seed0"][name.format(language)][:] = np.nan
    summary = summarise(made.read(tmp_path / "out"))
    [setting] = summary.measured.cells
    said = lead(summary, setting)
    assert said.startswith("English calibration (en) gave no numbers here, so nothing is compared with it: Arabic, ")
    told = " ".join(methods_text(summary))
    assert "2,000 resamples; with fewer than 16 items Student\u2019s t" in told


def test_ratios_alone_decide_nothing_and_limits_are_told(tmp_path):
    asked = config(seeds=(0,), tasks=("exams", "reviews"))
    asked["evaluation"]["tasks"] |= {"limit": 300, "limits": {"reviews": 200}}
    summary = summarise(Study(asked, Truth()).read(tmp_path / "limits"))
    told = " ".join(methods_text(summary))
    assert "exams (knowledge; acc; at most 300 items a language) and reviews (knowledge; acc; at most 200" in told
    asked = config(seeds=(0,), tasks=())
    del asked["evaluation"]["perplexity"]
    summary = summarise(Study(asked, Truth()).read(tmp_path / "ratios"))
    [setting] = summary.measured.cells
    assert lead(summary, setting).startswith("Only signal-to-noise ratios were measured, which alone decide nothing")


def test_a_folder_without_a_study_is_refused(capsys, tmp_path):
    done = run(capsys, "report", tmp_path)
    assert done.status == 2
    assert "holds no study" in " ".join(done.err.split())
    assert not (tmp_path / "report").exists()


def test_names_of_tasks_are_shown_as_they_are_and_have_figures_of_their_own(tmp_path):
    names = ("file:/d/*a*_b.jsonl", "file:/d/*a*-b.jsonl", "file:/d/`c`|<i>.jsonl")
    made = Study(config(seeds=(0,), tasks=names, title="*Which*?"), Truth(), seed=5)
    summary = summarise(made.read(tmp_path / "study"))
    (tmp_path / "figures").mkdir()
    drawn = draw_figures(tmp_path / "figures", summary)
    files = [one.path.name.casefold() for one in drawn]
    assert len(set(files)) == len(files)
    assert all(one.path.is_file() and one.path.with_suffix(".png").is_file() for one in drawn)
    text = markdown_report(summary, drawn)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    read = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in read} <= {
        "text",
        "text_special",
        "strong_open",
        "strong_close",
        "image",
        "html_inline",
        "softbreak",
    }
    assert all(child.content.startswith(("<bdi ", "</bdi>")) for child in read if child.type == "html_inline")
    headings = ["".join(c.content for c in token.children) for token in tokens if token.type == "inline"]
    assert "*Which*?" in headings
    assert all(any(name in heading for heading in headings) for name in names)
    ids = re.findall(r'\bid="([^"]+)"', page(summary, drawn))
    assert len(ids) == len(set(ids))
