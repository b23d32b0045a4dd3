# SPDX-License-Identifier: Apache-2.0
"""MoveIt's messages between numpy and the planner; a UserError becomes MoveIt's error code."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from geometry_msgs.msg import Vector3
from moveit_msgs.msg import (
    AllowedCollisionEntry,
    AllowedCollisionMatrix,
    AttachedCollisionObject,
    CollisionObject,
    Constraints,
    ContactInformation,
    MoveItErrorCodes,
    RobotState,
    RobotTrajectory,
)
from shape_msgs.msg import Mesh as MeshMsg
from shape_msgs.msg import MeshTriangle, SolidPrimitive

from wm_ros.bridge import joints, poses
from wm_ros.errors import UserError
from wm_ros.motion.contacts import Contact
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.planning_scene import Attached
from wm_ros.motion.pose import Array, Pose
from wm_ros.motion.shapes import Box, Cylinder, Mesh, Part, SceneObject, Shape, Sphere
from wm_ros.motion.trajectory import Trajectory
from wm_ros.robot import RobotConfig

# Pose in the base frame of a frame named in a message; raises Refusal if it is unknown.
Frames = Callable[[str], Pose]
HALF_SPACE = 10.0  # m, extent of the box that stands for a plane


class Refusal(UserError):
    """A request that is answered with MoveIt's error code and one sentence."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def error_code(code: ErrorCode, message: str = "") -> MoveItErrorCodes:
    """ErrorCode and sentence -> message."""
    return MoveItErrorCodes(val=int(code), message=message, source="wm_ros")


# ---- robot states ---------------------------------------------------------------------------


def state_positions(message: RobotState, present: Array | None, robot: RobotConfig) -> Array:
    """Arm joints (n,) of a robot state; joints that it does not name keep their present value.

    :raises Refusal: if numbers are missing or not finite, or nothing is known of a joint.
    """
    state = message.joint_state
    if len(state.position) != len(state.name):
        raise Refusal(
            ErrorCode.INVALID_ROBOT_STATE,
            f"The robot state names {len(state.name)} joints but gives "
            f"{len(state.position)} positions.",
        )
    given = dict(zip(state.name, state.position, strict=True))
    if given and set(robot.joints).isdisjoint(given):
        raise Refusal(
            ErrorCode.INVALID_ROBOT_STATE,
            f"The robot state names none of this robot's joints, but {', '.join(given)}.",
        )
    if present is None and not set(robot.arm_joints) <= set(given):
        raise Refusal(
            ErrorCode.ROBOT_STATE_STALE,
            "There are no fresh joint states; is the robot's driver running?",
        )
    q = np.array([given.get(j, 0.0 if present is None else present[i])
                  for i, j in enumerate(robot.arm_joints)], dtype=float)
    if not np.isfinite(q).all():
        raise Refusal(
            ErrorCode.INVALID_ROBOT_STATE, "The robot state holds numbers that are not finite."
        )
    return q


def to_state(q: Array, robot: RobotConfig, width: float | None = None) -> RobotState:
    """Arm joints (n,), and fingers if `width` is given, -> RobotState."""
    message = RobotState()
    message.joint_state.header.frame_id = robot.base_link
    message.joint_state.name = list(robot.arm_joints)
    message.joint_state.position = [float(v) for v in q]
    if width is not None:
        finger = float(width * robot.gripper.finger_scale)
        message.joint_state.name = list(robot.joints)
        fingers = [finger] * len(robot.finger_joints)
        message.joint_state.position = [*(float(v) for v in q), *fingers]
    return message


# ---- trajectories ---------------------------------------------------------------------------


def to_trajectory(trajectory: Trajectory, robot: RobotConfig) -> RobotTrajectory:
    """Trajectory -> RobotTrajectory."""
    message = RobotTrajectory()
    if len(trajectory):
        path = joints.JointPath(
            tuple(trajectory.joint_names),
            trajectory.times,
            trajectory.positions,
            trajectory.velocities,
            trajectory.accelerations,
        )
        message.joint_trajectory = joints.to_trajectory(path)
    message.joint_trajectory.header.frame_id = robot.base_link
    return message


def from_trajectory(message: RobotTrajectory, names: Iterable[str]) -> joints.JointPath:
    """RobotTrajectory -> JointPath with the joints in the order of `names`.

    :raises Refusal: if it is empty, ragged, not finite or names other joints.
    """
    names = tuple(names)
    given = tuple(message.joint_trajectory.joint_names)
    if message.multi_dof_joint_trajectory.points:
        raise Refusal(
            ErrorCode.INVALID_MOTION_PLAN, "The robot has no joints of several degrees of freedom."
        )
    if sorted(given) != sorted(names):
        raise Refusal(
            ErrorCode.INVALID_MOTION_PLAN,
            f"The trajectory must name the joints {', '.join(names)}, but names "
            f"{', '.join(given) or 'none'}.",
        )
    try:
        path = joints.from_trajectory(message.joint_trajectory)
    except UserError as error:
        raise Refusal(ErrorCode.INVALID_MOTION_PLAN, str(error)) from error
    order = [given.index(name) for name in names]

    def sort(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[:, order]

    return joints.JointPath(names, path.times, path.positions[:, order],
                            sort(path.velocities), sort(path.accelerations))


# ---- goals ----------------------------------------------------------------------------------


def joint_goal(message: Constraints, start: Array, robot: RobotConfig) -> Array:
    """Arm joints (n,) that the joint constraints ask for; the others stay as at the start.

    :raises Refusal: if a joint is unknown or a number is not finite.
    """
    q = np.array(start, dtype=float)
    for constraint in message.joint_constraints:
        if constraint.joint_name not in robot.arm_joints:
            raise Refusal(
                ErrorCode.INVALID_GOAL_CONSTRAINTS,
                f"{constraint.joint_name} is not a joint of {robot.planning_group}.",
            )
        q[robot.arm_joints.index(constraint.joint_name)] = constraint.position
    if not np.isfinite(q).all():
        raise Refusal(
            ErrorCode.INVALID_GOAL_CONSTRAINTS, "The joint goal holds numbers that are not finite."
        )
    return q


def pose_goal(
    message: Constraints, frames: Frames, to_tcp: Callable[[str], Pose], present: Pose
) -> Pose:
    """Tool pose in the base frame that position and orientation constraints ask for.

    What they leave open stays as at present. Tolerances are met by their middle.

    :param to_tcp: pose of the tool in a link; raises Refusal if the link does not carry it.
    :raises Refusal: if a frame or link is unknown or a number is not finite.
    """
    constraints = (*message.position_constraints, *message.orientation_constraints)
    links = {c.link_name for c in constraints}
    if len(links) > 1:
        raise Refusal(
            ErrorCode.INVALID_GOAL_CONSTRAINTS, "Position and orientation name different links."
        )
    offset = to_tcp(next(iter(links)))
    wanted = present.compose(offset.inverse())
    if message.orientation_constraints:
        constraint = message.orientation_constraints[-1]
        q = constraint.orientation
        turn = _checked(np.zeros(3), np.array([q.x, q.y, q.z, q.w]))
        wanted = Pose(
            wanted.position, frames(constraint.header.frame_id).compose(turn).quaternion
        )
    if message.position_constraints:
        region = message.position_constraints[-1]
        places = [*region.constraint_region.primitive_poses, *region.constraint_region.mesh_poses]
        if not places:
            raise Refusal(
                ErrorCode.INVALID_GOAL_CONSTRAINTS, "The position constraint holds no region."
            )
        p = places[0].position
        place = _checked(np.array([p.x, p.y, p.z]), np.array([0.0, 0.0, 0.0, 1.0]))
        point = frames(region.header.frame_id).compose(place).position
        o = region.target_point_offset
        shift = wanted.rotation() @ np.array([o.x, o.y, o.z])
        wanted = Pose(point - shift, wanted.quaternion)
    return wanted.compose(offset)


def stamped_pose(message: poses.PoseMsg, frame: str, frames: Frames) -> Pose:
    """A pose given in a frame -> Pose in the base frame. :raises Refusal: see `frames`."""
    try:
        return frames(frame).compose(poses.from_pose(message))
    except Refusal:
        raise
    except UserError as error:
        raise Refusal(ErrorCode.INVALID_GOAL_CONSTRAINTS, str(error)) from error


def _checked(position: np.ndarray, quaternion: np.ndarray) -> Pose:
    try:
        return poses.checked(position, quaternion)
    except UserError as error:
        raise Refusal(ErrorCode.INVALID_GOAL_CONSTRAINTS, str(error)) from error


# ---- collision objects ----------------------------------------------------------------------


def has_shapes(message: CollisionObject) -> bool:
    return bool(message.primitives or message.meshes or message.planes)


def object_pose(message: CollisionObject, frames: Frames) -> Pose:
    """Pose of the object's frame in the base frame."""
    q = message.pose.orientation
    if not any((q.x, q.y, q.z, q.w)):
        # Clients from before MoveIt's object poses leave it empty.
        message.pose.orientation.w = 1.0
    return frames(message.header.frame_id).compose(poses.from_pose(message.pose))


def from_object(message: CollisionObject, frames: Frames) -> SceneObject:
    """CollisionObject -> SceneObject in the base frame.

    :raises UserError: if a shape is unknown or numbers are missing.
    """
    parts = [
        *_parts(message, message.primitives, message.primitive_poses, _primitive),
        *_parts(message, message.meshes, message.mesh_poses, _mesh),
        *_parts(message, message.planes, message.plane_poses, lambda _: _half_space()),
    ]
    if message.planes:
        parts[-len(message.planes):] = [
            Part(_half_space(), part.pose.compose(_below(plane.coef)))
            for part, plane in zip(parts[-len(message.planes):], message.planes, strict=True)
        ]
    return SceneObject(message.id, tuple(parts), object_pose(message, frames))


def _parts(
    message: CollisionObject, shapes: list, places: list, convert: Callable[..., Shape]
) -> list[Part]:
    if places and len(places) != len(shapes):
        raise UserError(
            f"Collision object {message.id} holds {len(shapes)} shapes and {len(places)} poses."
        )
    given = [poses.from_pose(p) for p in places] or [Pose.identity()] * len(shapes)
    return [Part(convert(s), p) for s, p in zip(shapes, given, strict=True)]


def _primitive(message: SolidPrimitive) -> Shape:
    d = [float(v) for v in message.dimensions]
    if message.type == SolidPrimitive.BOX and len(d) >= 3:
        return Box((d[0], d[1], d[2]))
    if message.type == SolidPrimitive.SPHERE and len(d) >= 1:
        return Sphere(d[0])
    if message.type in (SolidPrimitive.CYLINDER, SolidPrimitive.CONE) and len(d) >= 2:
        # A cone is taken for the cylinder around it.
        return Cylinder(d[1], d[0])
    raise UserError(
        f"A primitive of type {message.type} with {len(d)} dimensions is not supported; use a "
        "box, sphere, cylinder or cone."
    )


def _mesh(message: MeshMsg) -> Shape:
    vertices = np.array([[p.x, p.y, p.z] for p in message.vertices], dtype=float).reshape(-1, 3)
    indices = [t.vertex_indices for t in message.triangles]
    return Mesh(vertices, np.array(indices, dtype=np.int64).reshape(-1, 3))


def _half_space() -> Box:
    return Box((HALF_SPACE, HALF_SPACE, 0.5))


def _below(coefficients: Iterable[float]) -> Pose:
    """Pose of the box whose upper face is the plane ax + by + cz + d = 0."""
    a, b, c, d = (float(v) for v in coefficients)
    normal = np.array([a, b, c])
    length = float(np.linalg.norm(normal))
    if not length > 1e-9:
        raise UserError("A plane needs a normal.")
    normal /= length
    z = np.array([0.0, 0.0, 1.0])
    w = 1.0 + float(z @ normal)
    turn = np.append(np.cross(z, normal), w) if w > 1e-9 else np.array([1.0, 0.0, 0.0, 0.0])
    return Pose.of(normal * (-d / length - 0.25), turn)


def to_object(obj: SceneObject, frame: str, geometry: bool = True) -> CollisionObject:
    """SceneObject posed in `frame` -> CollisionObject, without its shapes if not `geometry`."""
    message = CollisionObject(id=obj.id, operation=CollisionObject.ADD)
    message.header.frame_id = frame
    message.pose = poses.to_pose(obj.pose)
    if not geometry:
        return message
    for part in obj.parts:
        shape, place = part.shape, poses.to_pose(part.pose)
        if isinstance(shape, Mesh):
            mesh = MeshMsg()
            mesh.vertices = [poses.point(v) for v in shape.vertices]
            mesh.triangles = [
                MeshTriangle(vertex_indices=np.asarray(t, np.uint32)) for t in shape.triangles
            ]
            message.meshes.append(mesh)
            message.mesh_poses.append(place)
            continue
        if isinstance(shape, Box):
            kind, dimensions = SolidPrimitive.BOX, list(shape.size)
        elif isinstance(shape, Sphere):
            kind, dimensions = SolidPrimitive.SPHERE, [shape.radius]
        else:
            kind, dimensions = SolidPrimitive.CYLINDER, [shape.height, shape.radius]
        message.primitives.append(
            SolidPrimitive(type=kind, dimensions=[float(v) for v in dimensions])
        )
        message.primitive_poses.append(place)
    return message


def to_attached(held: Attached, robot: RobotConfig) -> AttachedCollisionObject:
    """Held object -> message."""
    return AttachedCollisionObject(
        link_name=held.link,
        object=to_object(held.object, robot.attach_link),
        touch_links=list(held.touch_links),
    )


# ---- allowed collisions and contacts --------------------------------------------------------


def to_matrix(
    names: list[str], allowed: set[frozenset[str]], with_all: set[str]
) -> AllowedCollisionMatrix:
    """Allowed pairs -> message over all `names`."""
    message = AllowedCollisionMatrix(entry_names=names)
    for a in names:
        row = [frozenset((a, b)) in allowed or bool({a, b} & with_all) for b in names]
        message.entry_values.append(AllowedCollisionEntry(enabled=row))
    message.default_entry_names = sorted(with_all)
    message.default_entry_values = [True] * len(with_all)
    return message


def from_matrix(message: AllowedCollisionMatrix) -> tuple[set[frozenset[str]], set[str]]:
    """Message -> allowed pairs, and names that may touch everything.

    :raises UserError: if the matrix is not square.
    """
    names = message.entry_names
    if len(message.entry_values) != len(names) or any(
        len(row.enabled) != len(names) for row in message.entry_values
    ):
        raise UserError("The allowed-collision matrix is not square.")
    pairs = {
        frozenset((a, b))
        for a, row in zip(names, message.entry_values, strict=True)
        for b, enabled in zip(names, row.enabled, strict=True)
        if enabled and a != b
    }
    defaults = zip(message.default_entry_names, message.default_entry_values, strict=False)
    return pairs, {name for name, enabled in defaults if enabled}


def to_contact(contact: Contact, links: Iterable[str], held: Iterable[str], frame: str
               ) -> ContactInformation:
    """Contact -> message in the base frame."""
    links, held = set(links), set(held)

    def kind(name: str) -> int:
        if name in links:
            return int(ContactInformation.ROBOT_LINK)
        if name in held:
            return int(ContactInformation.ROBOT_ATTACHED)
        return int(ContactInformation.WORLD_OBJECT)

    message = ContactInformation(
        contact_body_1=contact.body_1,
        body_type_1=kind(contact.body_1),
        contact_body_2=contact.body_2,
        body_type_2=kind(contact.body_2),
        depth=contact.depth,
    )
    message.header.frame_id = frame
    message.position = poses.point(contact.position)
    x, y, z = (float(v) for v in contact.normal)
    message.normal = Vector3(x=x, y=y, z=z)
    return message
