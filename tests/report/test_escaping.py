"""Names of methods, policies and runs in LaTeX, Markdown and CSV: no character changes the table or gets lost."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from wam_eval.report.escaping import escape_latex, escape_markdown, safe_cell
from wam_eval.report.formats import markdown_table
from wam_eval.report.paper_render import FORMATS
from wam_eval.report.paper_table import Cell, PaperTable, Row


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("π0.5", r"$\pi_{0.5}$"),
        ("π₀.₅", r"$\pi_{0.5}$"),
        ("π₀-FAST", r"$\pi_{0}$-FAST"),
        ("𝜋₀", r"$\pi_{0}$"),
        ("π*", r"$\pi${*}"),
        ("λ₁₂ and α₋₁", r"$\lambda_{12}$ and $\alpha_{-1}$"),
        ("H₂O, x₁.₅", r"H\textsubscript{2}O, x\textsubscript{1.5}"),
        ("x², s⁻¹, β²", r"x\textsuperscript{2}, s\textsuperscript{-1}, $\beta$\textsuperscript{2}"),
        ("ΔWAM (Α, Ω, ς)", r"$\Delta$WAM ($\mathrm{A}$, $\Omega$, $\varsigma$)"),
        (
            r"50% & a_b #1 $x {y} ~ ^ \ ",
            r"50\% \& a\_b \#1 \$x \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{} ",
        ),
        ("<a> | b", "$<$a$>$ $|$ b"),
        ("≥ 3 × ± ≤ − µ …", r"$\geq$ 3 $\times$ $\pm$ $\leq$ $-$ $\mu$ \dots{}"),
        (
            "Müller, Łódź, façade, naïve, Ångström",
            r"M\"{u}ller, \L{}\'{o}d\'{z}, fa\c{c}ade, na\"{\i}ve, \r{A}ngstr\"{o}m",
        ),
        ("e\u0301 in two characters", r"\'{e} in two characters"),
        (
            "--accept 'x'' ``y``",
            r"-{}-accept 'x'{}' \textasciigrave{}\textasciigrave{}y\textasciigrave{}\textasciigrave{}",
        ),
        ("“a”–b", r"``a''\textendash{}b"),
        ("[1]* not an option of a line break", "{[}1{]}{*} not an option of a line break"),
        ("中文", r"U+4E2D\,U+6587\,"),
        ("a\nb\tc\u200b\x07d\u00a0e", "a b cd~e"),
        ("ﬁ ½ Ａ", "fi 1/2 A"),
    ],
)
def test_latex(text: str, latex: str) -> None:
    assert escape_latex(text) == latex


def every_character() -> str:
    """All assigned characters of the blocks in which names are written, and some of every other kind."""
    blocks = [
        range(0x20, 0x250),
        range(0x300, 0x400),
        range(0x1E00, 0x2000),
        range(0x2000, 0x2400),
        range(0x2700, 0x27C0),
    ]
    found = "".join(chr(i) for block in blocks for i in block if unicodedata.category(chr(i)) != "Cn")
    return found + "Жя中日한🤖𝜋𝟎ﬁ\ufeff\udc80"


def test_latex_is_ascii_with_known_commands() -> None:
    """Each command exists in LaTeX, amssymb included, with standard fonts."""
    text = escape_latex(every_character())
    assert text.isascii() and text.isprintable()
    known = (
        r"alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|varsigma|tau|upsilon|phi|chi"
        r"|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|mathrm|partial|nabla|sum|prod|int|ell|hbar"
        r"|text(backslash|asciitilde|asciicircum|asciigrave|subscript|superscript|endash|emdash|bullet|registered|trademark)"
        r"|dots|dag|ddag|S|P|copyright|pounds|checkmark|times|pm|mp|div|cdot|circ|leq|geq|ll|gg|neq|neg|approx|equiv|sim"
        r"|propto|infty|surd|in|notin|subset|cup|cap|emptyset|(up|down|left|right|leftright|Right|Leftright)(arrow)|forall"
        r"|exists|oplus|otimes|star|ss|ae|AE|oe|OE|o|O|l|L|i|j|u|r|H|v|d|c|b|llap|raisebox|tiny"
    )
    commands = re.findall(r"\\([A-Za-z]+|.)", text)
    assert {c for c in commands if not re.fullmatch(known + r"|[&%$#_{}`'^~=.\",]", c)} == set()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert (text.count("$") - text.count(r"\$")) % 2 == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_of_every_character_compiles(tmp_path: Path) -> None:
    words = "\n\n".join(escape_latex(character + "a") for character in every_character())
    document = r"\documentclass{article}\usepackage{amssymb,graphicx}\begin{document}%s\end{document}"
    (tmp_path / "all.tex").write_text(document % words, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a|b <c> *d* `e` ~f~ [g](h) ![i]", r"a\|b \<c\> \*d\* \`e\` \~f\~ \[g\](h) !\[i\]"),
        ("snake_case, _private, __dunder__", r"snake_case, \_private, \_\_dunder\_\_"),
        ("&lt; and $x$", r"&amp;lt; and \$x\$"),
        ("two\n\nlines\tone", "two lines one"),
        ("# no heading", r"\# no heading"),
        ("- no list", r"\- no list"),
        ("1. no list", r"1\. no list"),
        ("1.5 times", "1.5 times"),
        ("π₀.₅ ≥ é", "π₀.₅ ≥ é"),
    ],
)
def test_markdown(text: str, markdown: str) -> None:
    assert escape_markdown(text) == markdown


def test_a_name_with_lines_and_pipes_stays_one_cell_of_a_markdown_table() -> None:
    lines = markdown_table(("a", "b"), [(escape_markdown("x|\\|\n|y"), "1")], "lr")
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)\|", lines[2])) == 3


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "\r=1", "-1+1", '=HYPERLINK("http://x")'])
def test_a_spreadsheet_does_not_run_a_name(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-3.2", "+5", "12", "", "π0", "a=b", "1e-3"])
def test_numbers_and_names_stay_in_a_spreadsheet(text: str) -> None:
    assert safe_cell(text) == text


def test_formulas_in_a_papers_table_as_csv() -> None:
    formula = "=1+1"
    rows = (Row((Cell(formula, letters=("a",)), Cell("-1.5", -1.5)), section=formula),)
    table = PaperTable("t", (), (formula, "@x"), rows, (), {"a": formula})
    read = list(csv.reader(io.StringIO(FORMATS["csv"](table))))
    assert read == [["Section", "'=1+1", "'@x", "Footnotes"], ["'=1+1", "'=1+1", "-1.5", "'=1+1"]]
