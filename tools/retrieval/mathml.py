"""A web page's equations (MathML) as lines of text, so that no fraction is read as a product."""

from __future__ import annotations

from typing import Any

from resiliparse.parse.html import ELEMENT

from tools.retrieval import dom
from tools.retrieval.omml import held

_MAX_DEPTH = 60
_NOT_SHOWN = frozenset({"annotation", "annotation-xml", "mphantom"})


def linear(math: Any) -> str:
    """The equation as its author wrote it in TeX, where that is told, or else in linear form."""
    told = str(math.getattr("alttext") or "").strip()
    if not told:
        notes = (one for one in dom.elements(math) if one.tag == "annotation")
        tex = (note for note in notes if "tex" in (note.getattr("encoding") or "").lower())
        told = next((str(note.text or "").strip() for note in tex), "")
    return " ".join((told or _linear(math, depth=0)).split())


def _linear(node: Any, *, depth: int) -> str:
    if node.type != ELEMENT:
        return str(node.value or "").strip()
    if node.tag in _NOT_SHOWN:
        return ""
    if depth > _MAX_DEPTH:
        return "".join(str(node.text or "").split())
    parts = [
        _linear(child, depth=depth + 1)
        for child in dom.children(node)
        if child.type == ELEMENT or str(child.value or "").strip()
    ]
    match node.tag, parts:
        case "mfrac", [above, below]:
            return f"{held(above)}/{held(below)}"
        case "msup" | "mover", [base, above]:
            return f"{held(base)}^{held(above)}"
        case "msub" | "munder", [base, below]:
            return f"{held(base)}_{held(below)}"
        case "msubsup" | "munderover", [base, below, above]:
            return f"{held(base)}_{held(below)}^{held(above)}"
        case "msqrt", _:
            return f"√({''.join(parts)})"
        case "mroot", [base, degree]:
            return f"{degree}√({base})"
        case "mtable", _:
            return f"[{'; '.join(parts)}]"
        case "mtr", _:
            return ", ".join(parts)
        case "mtext", _:
            return f" {''.join(parts)} "
        case _:
            return "".join(parts)
