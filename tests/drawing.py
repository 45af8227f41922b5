"""Turns the server's QR codes into pictures, for a reader that knows nothing of how they were made."""

import re

from PIL import Image, ImageDraw


def draw(svg: str, scale: int = 4) -> Image.Image:
    """Rasterise the one path of a QR code, as a browser would."""
    size = int(float(re.findall(r'viewBox="0 0 (\d+)', svg)[0]))
    image = Image.new("L", (size * scale, size * scale), 255)
    pen = ImageDraw.Draw(image)
    path = re.findall(r'<path d="([^"]+)"', svg)[0]
    for x, y, width, height in re.findall(r"M([\d.]+),([\d.]+)H([\d.]+)V([\d.]+)H", path):
        pen.rectangle(
            [float(x) * scale, float(y) * scale, float(width) * scale - 1, float(height) * scale - 1], fill=0
        )
    return image
