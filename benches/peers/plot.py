"""A line through a few points, as SVG: the horizontal axis by powers of ten, the vertical from 0."""

from math import log10

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 480, 240, 48, 36, 12, 16
STYLE = ("text{font:12px sans-serif;fill:#555}line,polyline{stroke:#888;fill:none}"
         "polyline{stroke:#2563eb;stroke-width:2}circle{fill:#2563eb}")


def line(across, up, points):
    first, last = log10(points[0][0]), log10(points[-1][0])
    top = max(value for _, value in points) * 1.15

    def place(point):
        x = LEFT + (log10(point[0]) - first) / (last - first) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - point[1] / top * (HEIGHT - BOTTOM - TOP)
        return round(x, 1), round(y, 1)

    placed = [place(point) for point in points]
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in placed)
    values = "".join(f'<text x="{x}" y="{y - 8}" text-anchor="middle">{value:.1f}</text>'
                     for (x, y), (_, value) in zip(placed, points))
    ticks = "".join(f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{at:,.0f}</text>'
                    for (x, _), (at, _) in zip(placed, points))
    path = " ".join(f"{x},{y}" for x, y in placed)
    base = HEIGHT - BOTTOM
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
            f"<style>{STYLE}</style>"
            f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}"/>'
            f'<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{base}"/>'
            f'<polyline points="{path}"/>{dots}{values}{ticks}'
            f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">{across}</text>'
            f'<text x="4" y="{TOP + 4}">{up}</text></svg>\n')
