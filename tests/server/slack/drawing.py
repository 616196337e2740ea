"""Block Kit as the page that Slack makes of it, near enough to be looked at. Pure.

It draws what ``block_kit`` knows; everything that is data is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

EMOJI = {
    "white_check_mark": "✅",
    "no_entry_sign": "🚫",
    "speech_balloon": "💬",
    "hourglass": "⌛",
    "hourglass_flowing_sand": "⏳",
    "heavy_minus_sign": "➖",
    "warning": "⚠️",
    "wave": "👋",
    "arrow_forward": "▶️",
    "raising_hand": "🙋",
}
_DATE = re.compile(r"&lt;!date\^(\d+)\^[^|]*\|[^&]*&gt;")
_CSS = """
* { box-sizing: border-box; margin: 0 }
body { font: 15px/22px Lato, "Helvetica Neue", Arial, "DejaVu Sans", "Noto Color Emoji", sans-serif;
  color: #1d1c1d; background: #fff; width: 720px; padding: 14px 0 }
.message { display: flex; gap: 9px; padding: 8px 20px }
.face { flex: 0 0 36px; height: 36px; border-radius: 8px; color: #fff; font-weight: 900;
  display: grid; place-items: center; font-size: 17px }
.said { flex: 1; min-width: 0 }
.name { font-weight: 900 } .app { background: #e8e8e8; color: #616061; font-size: 10px;
  line-height: 14px; padding: 0 3px; border-radius: 2px; font-weight: 700; margin-left: 4px }
.time { color: #616061; font-size: 12px; margin-left: 6px; font-weight: 400 }
.mention { background: #e8f5fa; color: #1264a3; border-radius: 3px; padding: 0 2px }
.block { margin: 4px 0 8px } .header { font-size: 18px; font-weight: 900; line-height: 24px }
.only { color: #616061; font-size: 12px }
.context { color: #616061; font-size: 12.5px; line-height: 18px; display: flex; flex-wrap: wrap;
  gap: 2px 10px } .context b { color: #454245 }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px }
.split { display: flex; justify-content: space-between; gap: 12px; align-items: flex-start }
hr { border: 0; border-top: 1px solid #e0e0e0; margin: 10px 0 }
.actions { display: flex; flex-wrap: wrap; gap: 8px }
.button { border: 1px solid #bbbabb; border-radius: 8px; font-weight: 700; font-size: 14px;
  line-height: 20px; padding: 4px 12px; white-space: nowrap;
  background: #fff; display: inline-block }
.primary { background: #007a5a; border-color: #007a5a; color: #fff }
.danger { color: #e01e5a; border-color: #e01e5a }
pre { font: 12.5px/18px "DejaVu Sans Mono", monospace; background: #f8f8f8; padding: 8px;
  border: 1px solid #dddddd; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere }
code { font: 12.5px "DejaVu Sans Mono", monospace; background: #f6f6f6; border: 1px solid #e0e0e0;
  border-radius: 3px; padding: 1px 3px; color: #c01343 }
blockquote { border-left: 4px solid #ddd; padding-left: 10px }
s { color: #8d8b8d } .rich { white-space: pre-wrap; overflow-wrap: anywhere }
.step { color: #454245; font-size: 13.5px; line-height: 21px }
.thumbs { display: flex; gap: 6px; color: #616061 } .thumbs span { border: 1px solid #ddd;
  border-radius: 6px; padding: 0 8px; font-size: 14px }
.modal { width: 520px; margin: 6px auto; border: 1px solid #ddd; border-radius: 10px;
  box-shadow: 0 4px 22px rgba(0,0,0,.18); overflow: hidden }
.title { display: flex; align-items: center; gap: 10px; padding: 14px 24px; font-size: 20px;
  font-weight: 900; border-bottom: 1px solid #eee } .title .face { flex-basis: 28px; height: 28px;
  font-size: 14px; border-radius: 6px }
.inside { padding: 12px 24px } .foot { display: flex; justify-content: flex-end; gap: 10px;
  padding: 12px 24px; border-top: 1px solid #eee }
label { font-weight: 700; display: block; margin-bottom: 4px }
label i { color: #616061; font-weight: 400; font-style: normal }
.input { border: 1px solid #868686; border-radius: 6px; padding: 5px 12px; min-height: 34px;
  white-space: pre-wrap; overflow-wrap: anywhere } .tall { min-height: 66px }
.select::after { content: "▾"; float: right; color: #616061 }
.hint { color: #616061; font-size: 12.5px; margin-top: 2px }
.wrong { color: #e01e5a; font-size: 13px; margin-top: 3px; font-weight: 700 }
.wrong + * { margin-top: 4px } .bad { border-color: #e01e5a; box-shadow: 0 0 0 1px #e01e5a }
.tabs { border-bottom: 1px solid #ddd; padding: 0 20px 8px; margin-bottom: 10px; color: #616061 }
.tabs b { color: #1d1c1d; border-bottom: 2px solid #1d3b4f; padding-bottom: 8px }
.homepage { padding: 0 20px }
.private { background: #fdf7e8 } p { margin: 0 0 6px } ol, ul { padding-left: 24px }
"""


def page(*parts: str) -> str:
    """A page of messages, a dialog or a home tab."""
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_CSS}</style><main>{"".join(parts)}</main>'
    )


def message(
    blocks: Sequence[Mapping[str, Any]],
    *,
    who: str,
    at: str,
    text: str = "",
    steps: Sequence[str] = (),
    is_app: bool = True,
    to: str = "",
) -> str:
    """One message of a thread; ``to`` is the only one who sees it."""
    told = "".join(
        f'<div class="step">{_emoji(":white_check_mark:")} {escape(one)}</div>' for one in steps
    )
    body = told + (f'<div class="block">{_markdown(text)}</div>' if text else "")
    body += "".join(map(_block, blocks))
    only = '<div class="only">👁 Only visible to you</div>' if to else ""
    app = '<span class="app">APP</span>' if is_app else ""
    return (
        f'<div class="message{" private" if to else ""}">{_face(who, is_app=is_app)}'
        f'<div class="said">{only}<span class="name">{escape(who)}{app}'
        f'<span class="time">{escape(at)}</span></span>{body}</div></div>'
    )


def modal(
    view: Mapping[str, Any],
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> str:
    """A dialog, with this typed into its fields by their block_id and what is wrong there."""
    inside = "".join(
        _input(block, typed or {}, errors or {}) if block["type"] == "input" else _block(block)
        for block in view["blocks"]
    )
    submit = view.get("submit")
    buttons = f'<span class="button">{escape(view["close"]["text"])}</span>'
    if submit:
        buttons += f'<span class="button primary">{escape(submit["text"])}</span>'
    return (
        f'<div class="modal"><div class="title">{_face("Counterpoint")}'
        f'{escape(view["title"]["text"])}</div><div class="inside">{inside}</div>'
        f'<div class="foot">{buttons}</div></div>'
    )


def home(view: Mapping[str, Any]) -> str:
    """The home tab."""
    tabs = '<div class="tabs"><b>Home</b> &nbsp;&nbsp; Messages &nbsp;&nbsp; About</div>'
    return f'{tabs}<div class="homepage">{"".join(map(_block, view["blocks"]))}</div>'


def _block(block: Mapping[str, Any]) -> str:
    return _DRAWN[block["type"]](block)


def _header(block: Mapping[str, Any]) -> str:
    return f'<div class="block header">{escape(block["text"]["text"])}</div>'


def _section(block: Mapping[str, Any]) -> str:
    body = f"<div>{_text(block['text'])}</div>" if "text" in block else ""
    if "fields" in block:
        cells = "".join(f"<div>{_text(one)}</div>" for one in block["fields"])
        body += f'<div class="fields">{cells}</div>'
    if "accessory" in block:
        body = f'<div class="split">{body}{_button(block["accessory"])}</div>'
    return f'<div class="block">{body}</div>'


def _context(block: Mapping[str, Any]) -> str:
    return (
        '<div class="block context">'
        + "".join(f"<span>{_text(one)}</span>" for one in block["elements"])
        + "</div>"
    )


def _actions(block: Mapping[str, Any]) -> str:
    return f'<div class="block actions">{"".join(map(_button, block["elements"]))}</div>'


def _button(one: Mapping[str, Any]) -> str:
    return f'<span class="button {one.get("style", "")}">{escape(one["text"]["text"])}</span>'


def _thumbs(_: Mapping[str, Any]) -> str:
    return '<div class="block thumbs"><span>👍</span><span>👎</span></div>'


def _rich(block: Mapping[str, Any]) -> str:
    tags = {
        "rich_text_section": "div",
        "rich_text_preformatted": "pre",
        "rich_text_quote": "blockquote",
    }
    found = []
    for one in block["elements"]:
        tag, inside = tags[one["type"]], "".join(map(_piece, one["elements"]))
        found.append(f'<{tag} class="rich">{inside}</{tag}>')
    return f'<div class="block">{"".join(found)}</div>'


def _piece(piece: Mapping[str, Any]) -> str:
    shown = escape(piece["text"])
    for style, tag in (("bold", "b"), ("italic", "i"), ("strike", "s"), ("code", "code")):
        if piece.get("style", {}).get(style):
            shown = f"<{tag}>{shown}</{tag}>"
    return shown


def _input(block: Mapping[str, Any], typed: Mapping[str, str], errors: Mapping[str, str]) -> str:
    element, name = block["element"], block["block_id"]
    kind = element["type"]
    if kind == "static_select":
        now = element.get("initial_option")
        value = typed.get(name, now["text"]["text"] if now else "Select an item")
    else:
        value = typed.get(name, element.get("initial_value", ""))
    shape = "select" if kind == "static_select" else "tall" if element.get("multiline") else ""
    optional = " <i>(optional)</i>" if block.get("optional") else ""
    wrong = f'<div class="wrong">{escape(errors[name])}</div>' if name in errors else ""
    hint = f'<div class="hint">{escape(block["hint"]["text"])}</div>' if "hint" in block else ""
    return (
        f'<div class="block"><label>{escape(block["label"]["text"])}{optional}</label>'
        f'<div class="input {shape}{" bad" if wrong else ""}">{escape(value)}</div>'
        f"{wrong}{hint}</div>"
    )


def _text(found: Mapping[str, Any]) -> str:
    if found["type"] == "plain_text":
        return escape(found["text"])
    return _mrkdwn(found["text"])


def _mrkdwn(markup: str) -> str:
    """Slack's own markup: its three entities stand for themselves, the rest is escaped."""
    shown = escape(_plain(markup), quote=False)
    shown = _DATE.sub(lambda found: _when(int(found[1])), shown)
    shown = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", shown)
    shown = re.sub(r"\*([^*\n]+)\*", r"<b>\1</b>", shown)
    return _emoji(shown).replace("\n", "<br>")


def _markdown(text: str) -> str:
    """Markdown, as far as answers in pictures have it."""
    shown = escape(text, quote=False)
    shown = re.sub(r"@(Counterpoint)", r'<span class="mention">@\1</span>', shown)
    shown = re.sub(r"\*\*([^*\n]+)\*\*", r"<b>\1</b>", shown)
    shown = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", shown)
    return "".join(f"<p>{part.replace(chr(10), '<br>')}</p>" for part in shown.split("\n\n"))


def _plain(markup: str) -> str:
    return markup.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _when(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{at:%b} {at.day} at {at:%H:%M}"


def _emoji(shown: str) -> str:
    return re.sub(r":([a-z_]+):", lambda found: EMOJI.get(found[1], found[0]), shown)


def _face(who: str, *, is_app: bool = True) -> str:
    colour = "#1d3b4f" if is_app else "#7a4f9a" if who[:1] < "m" else "#b5592a"
    return f'<div class="face" style="background:{colour}">{escape(who[:1].upper())}</div>'


_DRAWN: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "divider": lambda _: "<hr>",
    "actions": _actions,
    "context_actions": _thumbs,
    "rich_text": _rich,
    "markdown": lambda block: f'<div class="block">{_markdown(block["text"])}</div>',
}
