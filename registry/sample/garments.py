"""Drawing of garments: fabric, shading and details, along the outline that the annotation has too."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from registry.sample.canvas import Canvas, Ink, Layer, Patch, darken, volume
from registry.sample.categories import OUTWEAR
from registry.sample.details import draw_details
from registry.sample.fabrics import Fabric, shade, texture
from registry.sample.folds import DENSITY, HALF_WIDTH, TOP
from registry.sample.geometry import Affine, Point, bounds
from registry.sample.pose import Cut, Outline, cut_points
from registry.sample.templates import Key


@dataclass(frozen=True, slots=True)
class Garment:
    """A piece of clothing, independent of pose and photo.

    Attributes:
        category_id: 1 to 13.
        cut: shape, the same for all styles of a pair_id.
        fabric: colours and pattern of the style.
        trims: collar, pockets and the like, the same for all styles of a pair_id; see `registry.sample.details`.
    """

    category_id: int
    cut: Cut
    fabric: Fabric
    trims: frozenset[str] = frozenset()


class Wardrobe:
    """Cache of garment textures; beyond ``_MAX_TEXTURES`` it drops the oldest."""

    _MAX_TEXTURES = 120

    def __init__(self) -> None:
        """Start empty."""
        self._textures: dict[tuple[int, Cut, Fabric], Image.Image] = {}

    def texture(self, garment: Garment) -> Image.Image:
        """Return the texture of a garment, painted on first use; see `registry.sample.fabrics.texture`."""
        key = (garment.category_id, garment.cut, garment.fabric)
        if key not in self._textures:
            points = cut_points(garment.category_id, garment.cut)
            bottom = max(y for _, y in points.values())
            if len(self._textures) >= self._MAX_TEXTURES:
                del self._textures[next(iter(self._textures))]
            self._textures[key] = texture(garment.fabric, garment.category_id, bottom)
        return self._textures[key]


def draw_inside(canvas: Canvas, outline: Outline, garment: Garment) -> Layer | None:
    """Draw the inside of a garment that is visible behind the neck, and return its layer.

    Call it before drawing the person. Returns None for back views and for garments without a collar.
    """
    if outline.figure.is_back_view:
        return None
    ring = outline.collar_ring()
    if not ring:
        return None
    radius = outline.figure.scale * 0.012
    if garment.category_id not in OUTWEAR:
        return canvas.body([ring], shade(garment.fabric.base, 0.62), radius)
    keys = outline.keys
    centre = keys.index("c")
    if not outline.figure.is_worn:
        # The lining is visible through the open front of an unworn jacket: down the first front edge and up the second.
        edges = [outline.points[keys[centre + d]] for d in (-2, -4, -5, 5, 4, 2)]
        lining = [*edges, outline.points[5], outline.points["c"], outline.points[3]]
        canvas.body([lining], shade(garment.fabric.base, 0.60), radius)
    band = [*outline.curve((keys[-1], 1, keys[1])), outline.points[3], outline.points["c"], outline.points[5]]
    return canvas.body([band], shade(garment.fabric.base, 0.80), radius)


def front_rings(outline: Outline) -> list[list[Point]]:
    """Return the outline of the visible side: two rings for the front of open outwear, else a single ring."""
    if outline.template.category_id in OUTWEAR and not outline.figure.is_back_view:
        return [outline.stretch(outline.keys[1], 3), outline.stretch(5, outline.keys[-1])]
    return [outline.ring]


def _trunk_rings(outline: Outline, rings: list[list[Point]]) -> list[list[Point]]:
    """Return the rings without the sleeves."""
    # The outline and the sleeves share their point objects, so their ids identify the points of the sleeves.
    sleeve_ids = {id(point) for sleeve in outline.part_rings()[:2] for point in sleeve[1:-1]}
    return [[point for point in ring if id(point) not in sleeve_ids] for ring in rings]


def draw_garment(canvas: Canvas, outline: Outline, garment: Garment, wardrobe: Wardrobe) -> Layer:
    """Draw the visible side of a garment and return its layer."""
    unit = outline.figure.scale
    rings = front_rings(outline)
    patch = _patch_of(canvas, rings, unit * 0.05)
    mask = patch.mask([*rings, *outline.part_rings()])
    texture_image = wardrobe.texture(garment)
    if outline.template.sleeves[0]:
        fill, shadow = _sleeved_surface(canvas, outline, patch, texture_image, garment.fabric)
    else:
        fill, shadow = _sleeveless_surface(canvas, outline, patch, texture_image, garment.fabric)
    ink = Ink(patch, shade(garment.fabric.base, 0.7))
    draw_details(ink, outline, garment.fabric, garment.trims)
    ink.lay_on(fill)
    return canvas.put(darken(fill, shadow), mask, patch)


def _patch_of(canvas: Canvas, rings: list[list[Point]], margin: float) -> Patch:
    return Patch(bounds([point for ring in rings for point in ring]), canvas.image.size, margin)


def _swayed_camera(outline: Outline) -> Affine:
    """Return the camera of the figure, moved by the sway of the body at the height of the garment."""
    figure = outline.figure
    middle = sum(y for _, y in outline.flat_points.values()) / len(outline.flat_points)
    swayed, unswayed = figure.body((0.0, middle)), figure.camera((0.0, middle))
    camera = figure.camera
    return Affine(
        camera.a, camera.b, camera.c + swayed[0] - unswayed[0],
        camera.d, camera.e, camera.f + swayed[1] - unswayed[1],
    )  # fmt: skip


def _sleeved_surface(
    canvas: Canvas, outline: Outline, patch: Patch, cloth: Image.Image, fabric: Fabric
) -> tuple[Image.Image, Image.Image]:
    """Return the surface of a garment with sleeves and its shading, both of the patch's size.

    The fabric of a sleeve turns with the arm, and each sleeve is shaded as a body of its own.
    """
    unit = outline.figure.scale
    camera = _swayed_camera(outline)
    trunk = _trunk_rings(outline, front_rings(outline))
    trunk_patch = _patch_of(canvas, trunk, unit * 0.05)
    offset = _offset(trunk_patch, patch)
    fill = Image.new("RGB", patch.size, fabric.base)
    fill.paste(_wrap(cloth, camera, trunk_patch, fabric), offset)
    shadow = Image.new("L", patch.size, 0)
    shadow.paste(volume(trunk_patch.mask(trunk), unit * 0.022, 38), offset)
    for side, ring in enumerate(outline.part_rings()):
        sleeve_patch = _patch_of(canvas, [ring], unit * 0.03)
        sleeve_mask = sleeve_patch.mask([ring])
        offset = _offset(sleeve_patch, patch)
        sleeve = _wrap(cloth, camera.after(outline.figure.arm_turn(side)), sleeve_patch, fabric)
        fill.paste(sleeve, offset, sleeve_mask)
        shadow.paste(volume(sleeve_mask, unit * 0.014, 38), offset, sleeve_mask)
    return fill, shadow


def _sleeveless_surface(
    canvas: Canvas, outline: Outline, patch: Patch, cloth: Image.Image, fabric: Fabric
) -> tuple[Image.Image, Image.Image]:
    """Return the surface of a garment without sleeves and its shading, both of the patch's size."""
    unit = outline.figure.scale
    legs = outline.part_rings()
    fill = Image.new("RGB", patch.size, fabric.base)
    fill.paste(_wrap(cloth, _swayed_camera(outline), patch, fabric), (0, 0))
    mask = patch.mask([*front_rings(outline), *legs])
    shadow = volume(mask, unit * 0.020, 30 if legs else 38)
    for ring in legs:
        leg_patch = _patch_of(canvas, [ring], unit * 0.03)
        leg_mask = leg_patch.mask([ring])
        shadow.paste(volume(leg_mask, unit * 0.018, 38), _offset(leg_patch, patch), leg_mask)
    return fill, shadow


def _offset(inner: Patch, outer: Patch) -> tuple[int, int]:
    """Return the position of ``inner`` in ``outer``."""
    return (inner.left - outer.left, inner.top - outer.top)


def _wrap(cloth: Image.Image, placed: Affine, patch: Patch, fabric: Fabric) -> Image.Image:
    """Return a texture transformed to the pixels of a patch.

    Args:
        cloth: texture of the garment.
        placed: map from the body frame to px of the photo.
        patch: patch to fill.
        fabric: its base colour fills pixels outside the texture.
    """
    to_texture = Affine(DENSITY, 0.0, HALF_WIDTH * DENSITY, 0.0, DENSITY, -TOP * DENSITY)
    from_patch = Affine(1.0, 0.0, patch.left, 0.0, 1.0, patch.top)
    mapping = to_texture.after(placed.inverse()).after(from_patch)
    return cloth.transform(
        patch.size, Image.Transform.AFFINE, mapping.coefficients(), Image.Resampling.BILINEAR,
        fillcolor=fabric.base,
    )  # fmt: skip


def keys_inside(outline: Outline) -> frozenset[Key]:
    """Return the landmarks on the layer of `draw_inside`: 1, the back of the neck, except in back views."""
    return frozenset() if outline.figure.is_back_view else frozenset({1})
