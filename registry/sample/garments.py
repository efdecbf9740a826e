"""Putting a garment into the picture: cloth, volume, and the seams that make it what it is."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from registry.sample.canvas import Canvas, Ink, Layer, Patch, darken, volume
from registry.sample.details import draw_details
from registry.sample.fabrics import Fabric, shade, texture
from registry.sample.folds import DENSITY, HALF_WIDTH, TOP
from registry.sample.geometry import Affine, Point, bounds
from registry.sample.pose import Cut, Outline, cut_points
from registry.sample.templates import OUTWEAR, Key


@dataclass(frozen=True, slots=True)
class Garment:
    """A piece of clothing as it hangs in the wardrobe.

    Attributes:
        category_id: 1 to 13.
        cut: what its pair fixes.
        fabric: what its style fixes.
        trims: details its pair fixes, see `registry.sample.details`.
    """

    category_id: int
    cut: Cut
    fabric: Fabric
    trims: frozenset[str] = frozenset()


class Wardrobe:
    """Cloth that has been painted already, by garment; the oldest goes when there is no room."""

    _ROOM = 120

    def __init__(self) -> None:
        """Start with an empty wardrobe."""
        self._cloth: dict[tuple[int, Cut, Fabric], Image.Image] = {}

    def cloth(self, garment: Garment) -> Image.Image:
        """Return the garment's cloth, painted on first use."""
        key = (garment.category_id, garment.cut, garment.fabric)
        if key not in self._cloth:
            points = cut_points(garment.category_id, garment.cut)
            bottom = max(y for _, y in points.values())
            if len(self._cloth) >= self._ROOM:
                del self._cloth[next(iter(self._cloth))]
            self._cloth[key] = texture(garment.fabric, garment.category_id, bottom)
        return self._cloth[key]


def draw_inside(canvas: Canvas, outline: Outline, garment: Garment) -> Layer | None:
    """Draw what shows of the garment's inside behind the neck, before the person; None where nothing does."""
    if outline.figure.back:
        return None
    ring = outline.collar_ring()
    if not ring:
        return None
    radius = outline.figure.scale * 0.012
    if garment.category_id not in OUTWEAR:
        return canvas.body([ring], shade(garment.fabric.base, 0.62), radius)
    keys = outline.keys
    centre = keys.index("c")
    front, other = keys[centre - 2], keys[centre + 2]
    if not outline.figure.worn:
        # Through the open front of a jacket that nobody wears its lining shows.
        lower = [outline.points[keys[k]] for k in (centre - 4, centre - 5, centre + 5, centre + 4)]
        hem = [outline.points[keys[k]] for k in (centre - 5, centre + 5)]
        lining = [outline.points[front], lower[0], hem[0], hem[1], lower[3], outline.points[other]]
        lining += [outline.points[5], outline.points["c"], outline.points[3]]
        canvas.body([lining], shade(garment.fabric.base, 0.60), radius)
    band = [*outline.curve((keys[-1], 1, keys[1])), outline.points[3], outline.points["c"], outline.points[5]]
    return canvas.body([band], shade(garment.fabric.base, 0.80), radius)


def front_rings(outline: Outline) -> list[list[Point]]:
    """Return the rings that the visible front consists of: the two halves of an open jacket, else one."""
    if outline.template.category_id in OUTWEAR and not outline.figure.back:
        return [outline.stretch(outline.keys[1], 3), outline.stretch(5, outline.keys[-1])]
    return [outline.ring]


def _trunk_rings(outline: Outline, rings: list[list[Point]]) -> list[list[Point]]:
    """Return the rings without the sleeves."""
    left, right = outline.part_rings()[:2]
    inner = {id(p) for p in left[1:-1]} | {id(p) for p in right[1:-1]}
    return [[point for point in ring if id(point) not in inner] for ring in rings]


def draw_garment(canvas: Canvas, outline: Outline, garment: Garment, wardrobe: Wardrobe) -> Layer:
    """Put a garment on the picture and return what it covers."""
    figure = outline.figure
    unit = figure.scale
    rings = front_rings(outline)
    parts = outline.part_rings()
    patch = Patch(bounds([p for ring in rings for p in ring]), canvas.image.size, unit * 0.05)
    mask = patch.mask([*rings, *parts])
    cloth = wardrobe.cloth(garment)
    middle = sum(p[1] for p in outline.flat_points.values()) / len(outline.flat_points)
    drift = figure.body((0.0, middle)), figure.camera((0.0, middle))
    camera = figure.camera
    camera = Affine(
        camera.a, camera.b, camera.c + drift[0][0] - drift[1][0],
        camera.d, camera.e, camera.f + drift[0][1] - drift[1][1],
    )  # fmt: skip
    fill = Image.new("RGB", patch.size, garment.fabric.base)
    has_sleeves = bool(outline.template.sleeves[0])
    trunk = _trunk_rings(outline, rings) if has_sleeves else rings
    trunk_patch = Patch(bounds([p for ring in trunk for p in ring]), canvas.image.size, unit * 0.05)
    at = (trunk_patch.left - patch.left, trunk_patch.top - patch.top)
    fill.paste(_wrap(cloth, camera, trunk_patch, garment.fabric), at)
    if has_sleeves:
        shadow = Image.new("L", patch.size, 0)
        shadow.paste(volume(trunk_patch.mask(trunk), unit * 0.022, 38), at)
    else:
        shadow = volume(mask, unit * 0.020, 30 if parts else 38)
    for side, ring in enumerate(parts):
        part = Patch(bounds(ring), canvas.image.size, unit * 0.03)
        part_mask = part.mask([ring])
        at = (part.left - patch.left, part.top - patch.top)
        if has_sleeves:
            sleeve = _wrap(cloth, camera.after(figure.arm_turn(side)), part, garment.fabric)
            fill.paste(sleeve, at, part_mask)
            # A sleeve has a roundness of its own.
            shadow.paste(volume(part_mask, unit * 0.014, 38), at, part_mask)
        else:
            shadow.paste(volume(part_mask, unit * 0.018, 38), at, part_mask)
    ink = Ink(patch, shade(garment.fabric.base, 0.7))
    draw_details(ink, outline, garment.fabric, garment.trims)
    ink.lay_on(fill)
    return canvas.put(darken(fill, shadow), mask, patch)


def _wrap(cloth: Image.Image, placed: Affine, patch: Patch, fabric: Fabric) -> Image.Image:
    """Return the cloth as it looks on the patch, ``placed`` taking body-frame points to pixels."""
    to_texture = Affine(DENSITY, 0.0, HALF_WIDTH * DENSITY, 0.0, DENSITY, -TOP * DENSITY)
    from_patch = Affine(1.0, 0.0, patch.left, 0.0, 1.0, patch.top)
    mapping = to_texture.after(placed.inverse()).after(from_patch)
    return cloth.transform(
        patch.size, Image.Transform.AFFINE, mapping.coefficients(), Image.Resampling.BILINEAR,
        fillcolor=fabric.base,
    )  # fmt: skip


def keys_inside(outline: Outline) -> frozenset[Key]:
    """Return the landmarks that lie on the garment's inside layer, behind the neck."""
    return frozenset() if outline.figure.back else frozenset({1})
