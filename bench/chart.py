"""Line charts as SVG: panels side by side, a logarithmic axis of x, the name of each line at its end.

White behind all, for pages may be dark. Only what the two plots of bench/plot need.
"""
import math
from xml.sax.saxutils import escape

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 380, 104, 52, 64, 96
INK, FAINT = "#24292f", "#d8dee4"
# Text is never smaller than this once GitHub has put a plot into its column.
SIZE = 13


class Panel:
    """`lines`: (name, colour, [(x, y)]). `xs` and `ys`: [(value, label)], the ticks; the outer ones bound the panel."""

    def __init__(self, title, x_label, xs, ys, lines, log_y=False):
        self.title, self.x_label, self.xs, self.ys, self.lines, self.log_y = title, x_label, xs, ys, lines, log_y

    def draw(self, left, width):
        right, bottom = left + width, HEIGHT - BOTTOM

        def along(value, ticks, log):
            low, high = ticks[0][0], ticks[-1][0]
            if log:
                value, low, high = math.log(value), math.log(low), math.log(high)
            return (value - low) / (high - low)

        def x(value):
            return left + along(value, self.xs, True) * width

        def y(value):
            return bottom - along(value, self.ys, self.log_y) * (bottom - TOP)

        yield text(left - 48, TOP - 22, self.title, weight="bold")
        yield text(left + width / 2, HEIGHT - 10, self.x_label, anchor="middle")
        for value, label in self.ys:
            yield f'<path d="M{left} {y(value):.1f}H{right}" stroke="{FAINT}"/>'
            yield text(left - 8, y(value) + 4, label, anchor="end")
        for value, label in self.xs:
            yield f'<path d="M{x(value):.1f} {bottom}v5" stroke="{INK}"/>'
            yield text(x(value), bottom + 20, label, anchor="middle")
        for _, colour, points in self.lines:
            path = "L".join(f"{x(px):.1f} {y(py):.1f}" for px, py in points)
            yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>'
            for px, py in points:
                yield f'<circle cx="{x(px):.1f}" cy="{y(py):.1f}" r="3.5" fill="{colour}"/>'
        # From above to below, none on another.
        at = -math.inf
        for name, colour, points in sorted(self.lines, key=lambda line: y(line[2][-1][1])):
            at = max(at + SIZE + 3, y(points[-1][1]) + 4)
            yield text(x(points[-1][0]) + 9, at, name, colour=colour, weight="bold")


def text(x, y, words, anchor="start", colour=INK, weight="normal", size=SIZE):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}" '
            f'font-size="{size}">{escape(words)}</text>')


def svg(title, subtitle, panels, width=880):
    each = width / len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img" '
        'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>',
        text(16, 26, title, weight="bold", size=16),
        text(16, 45, subtitle, colour="#57606a"),
    ]
    for number, panel in enumerate(panels):
        parts += panel.draw(number * each + LEFT, each - LEFT - RIGHT)
    return "\n".join([*parts, "</svg>", ""])
