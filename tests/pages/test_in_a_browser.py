"""Reports in Chromium, from a file and without a network: nothing of a stranger's runs, and tables sort and filter."""

import base64
import hashlib
import json
import re
import shutil
import subprocess

import pytest

import ww_core as ww

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")

PROBE = """
const answer = { hacked: String(window.hacked), errors: 0 };
const place = document.querySelectorAll("[data-sorts]")[0];
const heads = Array.from(place.querySelectorAll("th[scope=col]"));
const at = heads.findIndex((head) => head.textContent === "mean");
const column = () => Array.from(place.querySelectorAll("tbody tr"), (row) => row.cells[at].dataset.v ?? "");
heads[at].querySelector("button").click();
answer.rising = [column(), heads[at].getAttribute("aria-sort")];
heads[at].querySelector("button").click();
answer.falling = [column(), heads[at].getAttribute("aria-sort")];
const input = place.querySelector("input[type=search]");
const filtered = (text) => {
  input.value = text;
  input.dispatchEvent(new Event("input"));
  return [Array.from(place.querySelectorAll("tbody tr:not([hidden])"), (row) => row.cells[0].textContent),
    place.querySelector("output").textContent];
};
answer.words = filtered("NORM");
answer.above = filtered("mean>1");
answer.none = filtered("there is no such row");
answer.all = filtered("");
document.querySelectorAll("a, td, th, summary, figure").forEach((own) => {
  own.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
});
document.querySelector(".open-all").click();
answer.open = document.querySelectorAll("[data-opens] details[open]").length;
const charts = document.querySelectorAll("[data-opens] svg.chart");
answer.drawn = Array.from(charts, (own) => own.getBoundingClientRect().width > 100);
answer.wide = document.documentElement.scrollWidth <= window.innerWidth;
const named = (own) => own.labels?.[0]?.textContent || own.textContent;
answer.names = Array.from(document.querySelectorAll("button, input"), named);
answer.hacked += String(window.hacked);
const told = document.createElement("pre");
told.id = "answer";
told.textContent = JSON.stringify(answer);
document.body.append(told);
"""


def answer_of(page, folder):
    """What the probe found in a page, and what the browser said of it on its console."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    assert page.count("script-src ") == 1
    probed = page.replace("script-src ", f"script-src 'sha256-{digest}' ").replace(
        "</body>", f"<script>{PROBE}</script></body>"
    )
    file = folder / "page.html"
    file.write_text(probed, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1280,900"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--no-first-run"]
    done = subprocess.run(
        [CHROMIUM, *options, *offline, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert found, console
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\xa0").replace("&amp;", "&")
    return json.loads(text), console


def test_a_report_sorts_filters_and_draws_and_nothing_else_runs(hostile_store, tmp_path):
    store, model, versions, plugins = hostile_store
    names = [f"{model}@{version}" for version in versions[:2]]
    page = ww.report_html(names, store=store, history=True, registry=plugins)
    answer, console = answer_of(page, tmp_path)
    assert console == []
    assert answer["hacked"] == "undefined" * 2
    rising, falling = ([float(own) for own in answer[way][0] if own] for way in ("rising", "falling"))
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert (answer["rising"][1], answer["falling"][1]) == ("ascending", "descending")
    every = answer["all"][0]
    assert answer["words"][0] == [name for name in every if "norm" in name]
    assert answer["words"][1] == f"{len(answer['words'][0])} of {len(every)} rows"
    assert 0 < len(answer["above"][0]) < len(every)
    assert answer["none"] == [[], f"0 of {len(every)} rows"]
    assert answer["open"] > 0
    assert all(answer["drawn"])
    assert answer["wide"]
    assert all(answer["names"])
