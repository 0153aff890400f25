"""Escaping of names and notes for LaTeX, Markdown and spreadsheets; HTML is escaped by its templates.

Names come from YAML files, command lines and papers, and may contain any character. LaTeX output is ASCII, so it
compiles with every engine: a character becomes a command, and one without a command its code point (``U+4E2D``).
"""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    **{character: "\\" + character for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
}
"""ASCII characters with a meaning in LaTeX, or with another glyph there."""

_MATHS = """
× times  ✗ times  ✘ times  ± pm  ∓ mp  ÷ div  · cdot  ∙ cdot  ∘ circ  ⊕ oplus  ⊗ otimes  ★ star  ☆ star  √ surd
≤ leq  ≥ geq  ≪ ll  ≫ gg  « ll  » gg  ≠ neq  ≈ approx  ≡ equiv  ∼ sim  ∝ propto  ∞ infty  ¬ neg  ∀ forall  ∃ exists
∂ partial  ∆ Delta  ∇ nabla  ∑ sum  ∏ prod  ∫ int  ℓ ell  ħ hbar  ∈ in  ∉ notin  ⊂ subset  ∪ cup  ∩ cap  ∅ emptyset
→ rightarrow  ← leftarrow  ↑ uparrow  ↓ downarrow  ↔ leftrightarrow  ⇒ Rightarrow  ⇔ Leftrightarrow
"""
"""Characters and their commands in formulas."""
_WORDS = """
– textendash  — textemdash  ‒ textendash  … dots  • textbullet  † dag  ‡ ddag  § S  ¶ P  ✓ checkmark  ✔ checkmark
© copyright  ® textregistered  ™ texttrademark  £ pounds
ß ss  æ ae  Æ AE  œ oe  Œ OE  ø o  Ø O  ł l  Ł L  ı i  ȷ j
"""
"""Characters and their commands in text."""
_REPLACED = r"""
‐ -  ‑ -  ⁄ /  “ ``  ” ''  ‘ `  ’ '  „ ''  ‚ '  ‹ $<$  › $>$  ¿ ?{`}  ¡ !{`}  − $-$  ″ $''$  ′ $'$  ° $^{\circ}$
€ EUR  ¥ JPY  ¢ ct  đ d\llap{-}  Đ D\llap{-}  ð dh  Ð Dh  þ th  Þ Th  ŋ ng  Ŋ Ng
"""
"""Characters and LaTeX for them, as close as standard fonts come."""
_PAIR = re.compile(r"(\S) (\S+)")
_SYMBOLS = (
    {character: f"$\\{name}$" for character, name in _PAIR.findall(_MATHS)}
    | {character: f"\\{name}{{}}" for character, name in _PAIR.findall(_WORDS)}
    | dict(_PAIR.findall(_REPLACED))
)
_ACCENTS = {
    **{"\N{COMBINING GRAVE ACCENT}": "`", "\N{COMBINING ACUTE ACCENT}": "'", "\N{COMBINING CIRCUMFLEX ACCENT}": "^"},
    **{"\N{COMBINING TILDE}": "~", "\N{COMBINING MACRON}": "=", "\N{COMBINING DOT ABOVE}": ".", "\u0308": '"'},
    **{"\N{COMBINING BREVE}": "u", "\N{COMBINING RING ABOVE}": "r", "\N{COMBINING DOUBLE ACUTE ACCENT}": "H"},
    **{"\N{COMBINING CARON}": "v", "\N{COMBINING DOT BELOW}": "d", "\N{COMBINING CEDILLA}": "c"},
    "\N{COMBINING MACRON BELOW}": "b",
}
"""Combining mark -> LaTeX's accent command."""
_COMMA_BELOW = r"\llap{\raisebox{-0.5ex}{\tiny,}}"
"""Ogonek and comma below, for which LaTeX's standard fonts have no command."""

_GREEK = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
"""
"""Greek letters with a command; the others look like Latin ones."""
_GREEK_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))
_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ"
_PIECES = re.compile(
    # A Greek letter with its index, π also with plain digits; sub- and superscripts, decimal points included.
    rf"(?P<letter>[\u0370-\u03ff])(?P<low>[{_SUBSCRIPTS}]+(?:\.[{_SUBSCRIPTS}]+)*|(?<=π)\d+(?:\.\d+)?)"
    rf"|(?P<sub>[{_SUBSCRIPTS}]+(?:\.[{_SUBSCRIPTS}]+)*)"
    rf"|(?P<sup>[{_SUPERSCRIPTS}]+(?:\.[{_SUPERSCRIPTS}]+)*)"
    # Characters that LaTeX joins to another one, then any character with its combining marks.
    r"|(?P<run>--+|''+|,,+)"
    r"|(?P<one>.[\u0300-\u036f]*)",
    re.DOTALL,
)


def escape_latex(text: str) -> str:
    """Text as LaTeX in ASCII; π0.5 and π₀.₅ become a symbol with an index."""
    letters = re.sub("[\U0001d400-\U0001d7ff]", lambda found: unicodedata.normalize("NFKC", found[0]), text)
    composed = unicodedata.normalize("NFC", letters)
    return "".join(map(_latex_piece, _PIECES.finditer(composed)))


def _latex_piece(found: re.Match[str]) -> str:
    kind, piece = found.lastgroup, found[0]
    if kind == "low":
        letter = _latex_character(found["letter"]).strip("$")
        return f"${letter}_{{{_plain(found['low'])}}}$"
    if kind == "sub":
        return rf"\textsubscript{{{_escaped(_plain(piece))}}}"
    if kind == "sup":
        return rf"\textsuperscript{{{_escaped(_plain(piece))}}}"
    if kind == "run":
        return "{}".join(piece)
    return _latex_character(piece)


def _plain(index: str) -> str:
    """The ordinary characters of an index, its minus sign as a hyphen."""
    return unicodedata.normalize("NFKC", index).replace("−", "-")


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _latex_character(character: str) -> str:
    """LaTeX for one character with its combining marks."""
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if character.isspace():
        return "~" if character in "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}" else " "
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character[0]) in ("Cc", "Cf") or unicodedata.category(character[0]) == "Mn":
        return ""
    if greek := _greek(character[0]):
        return f"${greek}$"
    base, *marks = list(unicodedata.normalize("NFD", character))
    if marks and all(unicodedata.combining(mark) for mark in marks):
        return _accented(base, marks)
    compatible = unicodedata.normalize("NFKC", character)
    return escape_latex(compatible) if compatible != character else rf"U+{ord(character[0]):04X}\,"


def _greek(character: str) -> str | None:
    """The command for a Greek letter, without its accents; ``None`` for other characters."""
    plain = unicodedata.normalize("NFKD", character)[0]
    if plain in _GREEK_LATIN:
        return rf"\mathrm{{{_GREEK_LATIN[plain]}}}"
    script, _, rest = unicodedata.name(plain, "").partition(" ")
    if script != "GREEK" or " LETTER " not in f" {rest}":
        return None
    name = rest.rpartition(" ")[2].lower().replace("lamda", "lambda")
    command = name.capitalize() if "CAPITAL" in rest else name
    if "FINAL" in rest:
        return r"\varsigma"
    return f"\\{command}" if command in _GREEK.split() else None


def _accented(base: str, marks: list[str]) -> str:
    """A letter with accents; marks without a command are left out."""
    text = {"i": r"\i", "j": r"\j"}.get(base, _latex_character(base))
    for mark in marks:
        if mark in _ACCENTS:
            text = rf"\{_ACCENTS[mark]}{{{text}}}"
        elif mark in "\N{COMBINING OGONEK}\N{COMBINING COMMA BELOW}":
            text += _COMMA_BELOW
    return {r"\i": "i", r"\j": "j"}.get(text, text)


def escape_markdown(text: str) -> str:
    """Text without the meaning that its characters have in Markdown, on one line; ``_`` within a word has none."""
    one_line = " ".join(text.split())
    escaped = re.sub(r"([\\`*|\[\]<>~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", one_line).replace("&", "&amp;")
    # Marks at the start of a line: headings, quotes, lists.
    return re.sub(r"^(\d+(?=[.)]\s)|(?=[#+-]))", lambda found: found[0] + "\\", escaped)


def safe_cell(text: str) -> str:
    """Text of a CSV cell that a spreadsheet does not run as a formula: an apostrophe before ``=``, ``+``, ``-``, ``@``.

    Numbers stay as they are.
    """
    number = re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    return f"'{text}" if re.match(r"[=+\-@\t\r\n]", text) and not number else text
