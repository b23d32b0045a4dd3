# SPDX-License-Identifier: Apache-2.0
"""A scanned room for other programs: Gazebo world, GLB and PLY meshes, planning-scene YAML,
Gaussian splats."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import yaml

from wm_ros.motion.shapes import Mesh, write_stl
from wm_ros.sim.sdf_emitter import world_xml
from wm_ros.world_model.scene3d.perceived import PerceivedScene, Solid
from wm_ros.world_model.scene3d.room import to_scene
from wm_ros.world_model.scene3d.surface import Points, Triangles, surface_points, triangles
from wm_ros.world_model.scene3d.tsdf import Volume

MARGIN = 0.012  # m around a piece's boxes that its mesh is cut out with
SH0 = 0.28209479177387814  # band 0 of the real spherical harmonics


def to_trimesh(mesh: Triangles) -> trimesh.Trimesh:
    """With vertex colours."""
    colours = np.concatenate([mesh.rgb, np.full((len(mesh.rgb), 1), 255, np.uint8)], 1)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colours, process=False)


def write_meshes(volume: Volume, folder: Path) -> list[Path]:
    """``room.glb`` (y up, as glTF wants it) and ``room.ply`` (z up, base frame), coloured."""
    mesh = to_trimesh(triangles(volume))
    ply, glb = folder / "room.ply", folder / "room.glb"
    mesh.export(ply)
    up = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    mesh.apply_transform(up)
    mesh.export(glb)
    return [glb, ply]


def piece_mesh(volume: Volume, boxes: tuple[Solid, ...]) -> Mesh | None:
    """The fused surface around a piece's boxes, or None where nothing was fused."""
    half = np.array([b.half_extent() for b in boxes])
    middle = np.array([b.pose.position for b in boxes])
    low, high = (middle - half).min(0) - MARGIN, (middle + half).max(0) + MARGIN
    cut = triangles(volume, low, high)
    if not len(cut.faces):
        return None
    # what stands beside the boxes of a piece, or between them, is none of it
    near = [(np.abs((cut.vertices - box.pose.position) @ box.pose.rotation())
             < 0.5 * np.asarray(box.size) + MARGIN).all(1) for box in boxes]
    keep = np.any(near, 0)[cut.faces].all(1)
    mesh = trimesh.Trimesh(cut.vertices, cut.faces[keep], process=True)
    mesh.remove_unreferenced_vertices()
    if not len(mesh.faces):
        return None
    return Mesh(np.asarray(mesh.vertices, float), np.asarray(mesh.faces))


def write_world(scene: PerceivedScene, volume: Volume | None, folder: Path) -> Path:
    """``world.sdf`` (SDF 1.9) with things that move and fixed furniture.

    Furniture collides as boxes; with a volume, its fused surface is added as a mesh in
    ``meshes/`` that is both seen and collided with.
    """
    root = ET.fromstring(world_xml(to_scene(scene)))
    world = root.find("world")
    assert world is not None
    for piece in scene.furniture:
        mesh = None if volume is None else piece_mesh(volume, piece.boxes)
        model = next((m for m in world.findall("model") if m.get("name") == piece.name), None)
        link = None if model is None else model.find("link")
        if mesh is None or link is None:
            continue
        (folder / "meshes").mkdir(exist_ok=True)
        path = folder / "meshes" / f"{piece.name}.stl"
        write_stl(mesh, path)
        for old in [e for e in link if e.tag in ("visual", "collision")]:
            link.remove(old)
        for tag in ("collision", "visual"):
            element = ET.SubElement(link, tag, name=f"surface_{tag}")
            shape = ET.SubElement(ET.SubElement(element, "geometry"), "mesh")
            ET.SubElement(shape, "uri").text = f"meshes/{piece.name}.stl"
            if tag == "visual":
                material = ET.SubElement(element, "material")
                tint = " ".join(f"{v:.3f}" for v in (*piece.rgb, 1.0))
                ET.SubElement(material, "ambient").text = tint
                ET.SubElement(material, "diffuse").text = tint
    ET.indent(root, " ")
    path = folder / "world.sdf"
    path.write_text('<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n")
    return path


def furniture_yaml(scene: PerceivedScene) -> dict[str, list[dict[str, Any]]]:
    """Table and furniture in the form that the planning node's ``furniture`` file has; m,
    quaternions x y z w."""
    out: dict[str, list[dict[str, Any]]] = {}
    for piece in (scene.table, *scene.furniture):
        out[piece.name] = [{
            "box": [round(float(v), 4) for v in b.size],
            "position": [round(float(v), 4) for v in b.pose.position],
            "quaternion": [round(float(v), 5) for v in b.pose.quaternion],
        } for b in piece.boxes]
    return out


def write_furniture(scene: PerceivedScene, folder: Path) -> Path:
    """``furniture.yaml`` for the planning node."""
    path = folder / "furniture.yaml"
    path.write_text("# What stands in the room, as boxes in the robot's base frame (m).\n"
                    + yaml.safe_dump(furniture_yaml(scene), default_flow_style=None,
                                     sort_keys=False))
    return path


def write_splats(volume: Volume, folder: Path) -> Path:
    """``splats.ply``: flat Gaussians on the fused surface, in the layout of Kerbl et al. 2023
    that splat viewers read. They are placed, not optimised."""
    points = surface_points(volume)
    fields = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
              "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    rows = np.zeros((len(points), len(fields)), "<f4")
    rows[:, 0:3], rows[:, 3:6] = points.position, points.normal
    rows[:, 6:9] = (points.rgb / 255.0 - 0.5) / SH0
    rows[:, 9] = 4.0  # logit of 0.98
    rows[:, 10:12], rows[:, 12] = np.log(0.6 * volume.voxel), np.log(0.1 * volume.voxel)
    rows[:, 13:17] = _turns(points)
    header = "\n".join(["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}",
                        *[f"property float {name}" for name in fields], "end_header"]) + "\n"
    path = folder / "splats.ply"
    path.write_bytes(header.encode() + rows.tobytes())
    return path


def _turns(points: Points) -> np.ndarray:
    """Quaternions w x y z (n, 4) that turn z to the normals."""
    n = points.normal.astype(np.float64)
    out = np.stack([1 + n[:, 2], -n[:, 1], n[:, 0], np.zeros(len(n))], 1)
    out[n[:, 2] < -0.999] = (0.0, 1.0, 0.0, 0.0)
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))
