"""Names from records and files are text wherever they are shown: no markup, code or formula."""

import csv
import io
import json
import re
from html import unescape
from pathlib import Path

import pytest

from attnseg.apis.leaderboard import run_collect, run_page
from tests.leaderboard.factory import measured_run, plain_run, record, write_run

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def test_names_are_text_on_the_page(tmp_path: Path) -> None:
    for number, name in enumerate((SCRIPT, f"</SCRIPT>{SCRIPT}", "<!--", "a&lt;b")):
        content = record("a", {f"semantic/{SCRIPT}": {"value": 0.5}})
        content |= {"name": name, "id": f"id{number}", "command": SCRIPT, "work_dir": SCRIPT}
        content["config"] = {"file": SCRIPT, "hash": SCRIPT}
        content["evaluators"] = [{"type": SCRIPT, "prefix": "semantic", "settings": {SCRIPT: 1}}]
        write_run(tmp_path / f"runs/{number}", content)
    (tmp_path / "runs/bad").mkdir()
    (tmp_path / "runs/bad/record.json").write_text(json.dumps({"schema": SCRIPT}))
    run_page([str(tmp_path / "runs")], str(tmp_path / "page.html"), title=SCRIPT)
    html = (tmp_path / "page.html").read_text()
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]+)', html)[1])
    assert "onerror=alert" in html and "<img" not in html and "alert(1)</script" not in html
    # Its own data and its own code; no other script may run, by the policy.
    assert len(re.findall("<script", html)) == len(re.findall("</script", html, re.I)) == 2
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_the_code_of_the_page_makes_no_markup_of_data() -> None:
    assets = Path(__file__).resolve().parents[2] / "projects/attnseg/leaderboard/assets"
    for path in assets.glob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, f"{path.name}: {word}"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1"])
def test_no_field_of_a_csv_is_a_formula(tmp_path: Path, name: str) -> None:
    file = measured_run(tmp_path / "runs", "a", 0.5)
    content = json.loads(file.read_text()) | {"name": name, "command": name}
    content["metrics"][name] = {"value": -0.5}
    file.write_text(json.dumps(content))
    run_collect([str(tmp_path / "runs")], out=str(tmp_path / "out"))
    for table in ("leaderboard.csv", "records.csv"):
        text = (tmp_path / "out" / table).read_bytes().decode()
        rows = list(csv.reader(io.StringIO(text, newline="")))
        fields = [field for row in rows for field in row]
        texts = [field for field in fields if not re.fullmatch(r"-?[\d.e+-]+", field)]
        assert not [field for field in texts if field[:1] in "=+-@\t\r" and field]
        assert "'" + name.replace("\r", " ") in fields and "-0.5" in fields


def test_special_characters_are_text_in_latex_and_markdown(tmp_path: Path) -> None:
    name = r"\input{/etc/passwd} $x$ %&#_^~ {a} | [l](javascript:x) ![i](http://h) <b> `c` *d*"
    plain_run(tmp_path / "runs", "a", 0.5)
    file = plain_run(tmp_path / "runs", "b", 0.5)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": name}))
    run_collect([str(tmp_path / "runs")], out=str(tmp_path / "out"))
    tex = (tmp_path / "out/leaderboard.tex").read_text()
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\$ \%\&\#\_" in tex and r"\input" not in tex
    markdown = (tmp_path / "out/leaderboard.md").read_text()
    assert "<b>" not in markdown and r"]\(javascript" in markdown and r"]\(http" in markdown
    assert r"\| " in markdown and r"\`c\`" in markdown


def test_the_page_of_strokes_answers_on_loopback_alone() -> None:
    gradio = pytest.importorskip("gradio", reason="the page needs Gradio")
    import socket
    from urllib.parse import urlparse

    from attnseg.apis.refine_page.page import launch_page

    with gradio.Blocks() as page:
        gradio.Markdown("x")
    address = urlparse(launch_page(page, block=False))
    try:
        assert address.hostname == "127.0.0.1"
        sockets = page.server.servers[0].sockets
        assert {found.getsockname()[0] for found in sockets} == {"127.0.0.1"}
        with socket.create_connection(("127.0.0.1", address.port), timeout=10):
            pass
    finally:
        page.close()
