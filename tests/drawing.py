"""Turns the server's QR codes into pictures, and reads them by what knows nothing of how they were made."""

import random
import re

import zxingcpp
from PIL import Image, ImageChops, ImageDraw, ImageFilter


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


def photograph(
    picture: Image.Image, *, width: int, blur: float, angle: float, brightness: float
) -> Image.Image:
    """What a poor camera makes of it.

    Args:
        width: of the code in the photograph, pixels.
        blur: standard deviation, pixels.
        angle: degrees.
        brightness: of white, as a share of full; black is not quite black, and there is noise, always the same.
    """
    small = picture.resize((width, width), Image.Resampling.LANCZOS)
    dim = small.point([int(brightness * (0.12 * 255 + 0.88 * value)) for value in range(256)])
    turned = dim.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=int(brightness * 0.6 * 255))
    blurred = turned.filter(ImageFilter.GaussianBlur(blur))
    grain = random.Random(1).randbytes(blurred.width * blurred.height)
    noise = Image.frombytes("L", blurred.size, grain).point([value // 12 for value in range(256)])
    return ImageChops.add(blurred, noise, 1, -10)


def read_qr(picture: Image.Image) -> list[str]:
    """The texts of all QR codes in it. Of 500 codes, the reader sees a striped code of four digits in about one."""
    return [
        code.text
        for code in zxingcpp.read_barcodes(
            picture, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
        )
    ]
