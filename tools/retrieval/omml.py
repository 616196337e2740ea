"""Word's equations (OMML) as lines of text, so that no fraction is read as a product. Pure."""

from __future__ import annotations

from typing import Any

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MATH = f"{_M}oMath"
_TEXT = f"{_M}t"
_WORD_TEXT = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}t"
_MAX_DEPTH = 60


def linear(element: Any, depth: int = 0) -> str:
    """The equation in linear form: ``a/(b+c)``, ``x^2``, ``a_i``, ``√(x)``."""
    if element.tag in (_TEXT, _WORD_TEXT):
        return element.text or ""
    if depth > _MAX_DEPTH:
        return "".join(node.text or "" for node in element.iter(_TEXT, _WORD_TEXT))

    def of(name: str) -> str:
        found = element.find(f"{_M}{name}")
        return "" if found is None else linear(found, depth + 1)

    match str(element.tag).removeprefix(_M):
        case "f":
            return f"{held(of('num'))}/{held(of('den'))}"
        case "sSup":
            return f"{held(of('e'))}^{held(of('sup'))}"
        case "sSub":
            return f"{held(of('e'))}_{held(of('sub'))}"
        case "sSubSup":
            return f"{held(of('e'))}_{held(of('sub'))}^{held(of('sup'))}"
        case "rad":
            return f"{of('deg')}√({of('e')})"
        case "func":
            # U+2061, which applies a function, is not seen.
            return f"{of('fName')} {of('e')}".replace("\u2061", "")
        case "d":
            inner = (linear(one, depth + 1) for one in element.findall(f"{_M}e"))
            return f"({', '.join(inner)})"
        case "nary":
            sign = element.find(f"{_M}naryPr/{_M}chr")
            sub, sup = of("sub"), of("sup")
            low, high = f"_{held(sub)}" * bool(sub), f"^{held(sup)}" * bool(sup)
            operator = (sign.get(f"{_M}val") if sign is not None else "") or "∫"
            return f"{operator}{low}{high} {of('e')}"
        case "m":
            rows = (linear(one, depth + 1) for one in element.findall(f"{_M}mr"))
            return f"[{'; '.join(rows)}]"
        case "mr":
            return ", ".join(linear(one, depth + 1) for one in element.findall(f"{_M}e"))
        case _:
            return "".join(linear(one, depth + 1) for one in element).replace("\u2061", "")


def held(text: str) -> str:
    """The term, in parentheses where it is more than a name or a number."""
    text = text.strip()
    return text if len(text) <= 1 or text.replace(".", "").isalnum() else f"({text})"
