"""Pieces of the report page: its style, and plots as inline SVG. Pure functions from values to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --text: #1b2430; --soft: #5c6876; --line: #dfe3e8;
  --bar: #2f6fde; --other: #9aa5b1; --note: #fff6e0; --note-line: #e0b04a; --second: #c2571a; --third: #2b8a57;
  --fourth: #8a4fc4; }
@media (prefers-color-scheme: dark) { :root { --page: #12161b; --card: #1b2129; --text: #e6eaef; --soft: #9aa6b4;
  --line: #303945; --bar: #6ea0ff; --other: #66717f; --note: #2c2615; --note-line: #8d7433; --second: #f0935a;
  --third: #5cc48d; --fourth: #bd92ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 0 0 4px; } h3 { font-size: 15px; margin: 0; }
p { margin: 4px 0; } .soft, caption, figcaption { color: var(--soft); } .soft { margin-bottom: 12px; }
ul { margin: 4px 0 12px; padding-left: 20px; } li { margin: 4px 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin-top: 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(175px, 1fr)); gap: 12px; margin-top: 16px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 25px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.note { background: var(--note); border-left: 4px solid var(--note-line); border-radius: 4px; padding: 8px 14px;
  margin-top: 10px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; white-space: normal; vertical-align: bottom; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } td.text, th.text { text-align: left; }
td.text { white-space: normal; min-width: 120px; }
figure { margin: 10px 0 14px; overflow-x: auto; } figcaption { font-size: 13px; margin-bottom: 4px; }
svg { width: 100%; height: auto; display: block; max-width: 760px; min-width: 480px; }
svg text { fill: var(--text); font-size: 13px; }
svg .soft { fill: var(--soft); } svg .bar { fill: var(--bar); } svg .other { fill: var(--other); }
svg path { fill: none; stroke-width: 1.8; } svg .grid, svg .mark { stroke: var(--line); stroke-width: 1; }
svg { overflow: visible; }
svg .mark { stroke: var(--note-line); stroke-dasharray: 4 3; } svg path.ref { stroke: var(--other);
  stroke-dasharray: 5 4; } svg circle.ref { fill: var(--other); } svg text.ref { fill: var(--soft); }
svg path.c0 { stroke: var(--bar); stroke-width: 2.4; } svg path.c1 { stroke: var(--second); } svg path.c2 {
  stroke: var(--third); } svg path.c3 { stroke: var(--fourth); }
svg circle.c0, svg text.c0 { fill: var(--bar); } svg circle.c1, svg text.c1 { fill: var(--second); }
svg circle.c2, svg text.c2 { fill: var(--third); } svg circle.c3, svg text.c3 { fill: var(--fourth); }
svg path.band { fill: var(--bar); opacity: .15; } svg.square { max-width: 420px; min-width: 320px; }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(560px, 1fr)); gap: 18px; }
.lists table { font-size: 13px; } .lists th, .lists td { padding: 4px 6px; }
@media (max-width: 660px) { .lists { grid-template-columns: minmax(0, 1fr); } }
"""


def page(title: str, lead: str, parts: Sequence[str], notes: Sequence[str] = ()) -> str:
    """A whole page: its heading, a sentence below it, notes, and parts (empty ones are left out)."""
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(lead)}</p>{said}\n'
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def section(title: str, lead: str, *parts: str) -> str:
    """A card with a heading and one sentence that says how to read it."""
    return f'<section><h2>{escape(title)}</h2><p class="soft">{escape(lead)}</p>{"".join(parts)}</section>'


def tile(value: str, label: str, detail: str = "") -> str:
    return f'<div class="tile"><span>{escape(label)}</span><b>{escape(value)}</b><span>{escape(detail)}</span></div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], text_columns: Sequence[int] = ()) -> str:
    """A table of texts; the first column and `text_columns` are aligned left."""

    def cells(tag: str, values: Sequence[str]) -> str:
        classes = [' class="text"' if i in text_columns else "" for i in range(len(values))]
        return "".join(f"<{tag}{c}>{escape(v)}</{tag}>" for c, v in zip(classes, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells("th", heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def bars(caption: str, rows: Sequence[tuple[str, float, str, bool]], marks: Sequence[tuple[float, str]] = ()) -> str:
    """Horizontal bars. rows: label, value (not negative), shown value, is it what others are compared with?

    marks: values at which a line crosses all bars, with the name of each.
    """
    longest = max([*[value for _, value, _, _ in rows], *[value for value, _ in marks]] or [0]) or 1.0
    left = 12 + 7.5 * max([len(label) for label, *_ in rows] or [0])
    room = 760 - left - 14 - 7.4 * max([len(shown) for _, _, shown, _ in rows] or [0])
    drawn = []
    height = 26 * len(rows) + 4
    for value, name in marks:
        x = left + room * value / longest
        drawn.append(f'<path class="mark" d="M{x:.1f} 0V{height}"/>')
        drawn.append(f'<text class="soft" x="{x:.1f}" y="{height + 14}" text-anchor="middle">{escape(name)}</text>')
    for number, (label, value, shown, is_reference) in enumerate(rows):
        top, width = number * 26, round(max(room * value / longest, 1), 1)
        kind = "other" if is_reference else "bar"
        drawn.append(
            f'<text x="0" y="{top + 17}">{escape(label)}</text>'
            f'<rect class="{kind}" x="{left}" y="{top + 4}" width="{width}" height="17" rx="3"/>'
            f'<text class="soft" x="{left + width + 8:.1f}" y="{top + 17}">{escape(shown)}</text>'
        )
    described = escape("; ".join(f"{label} {shown}" for label, _, shown, _ in rows))
    box = f'viewBox="0 0 760 {height + (20 if marks else 0)}" role="img" aria-label="{described}"'
    return f"<figure><figcaption>{escape(caption)}</figcaption><svg {box}>{''.join(drawn)}</svg></figure>"
